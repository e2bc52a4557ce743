"""Every monitored quantity under one name, and bands in which it is expected to be.

A band is learned from the same time of the last days, and of the last weeks; a signal is an anomaly
where it is outside both. The twin is `ml_exporter.statistics.signals`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ml_exporter.rules import thresholds
from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each, number
from ml_exporter.rules.estimation import SHARES as ESTIMATED
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.mutes import unless_muted_signals
from ml_exporter.rules.performance import INTERVALS
from ml_exporter.rules.promql import indent, union, with_label, without
from ml_exporter.rules.shares import SIGNS, wilson
from ml_exporter.rules.timing import Timing, duration, span
from ml_exporter.statistics.drift import SHARES as BROKEN
from ml_exporter.statistics.signals import MEDIAN_OF_SQUARES, SCALES, WIDTH, Scale
from ml_exporter.statistics.significance import Z_95

WEEKS = 3  # of history that a band is learned from
LEAST_HOURS = 4  # of the last week that must be known: labels may come once each workday

# Complements of other signals, and weighted means of what is there unweighted.
_REDUNDANT = {
    *("false_positive_rate", "false_negative_rate", "negative_predictive_value", "gini"),
    *("precision_weighted", "recall_weighted", "f1_weighted"),
}
_OF_LABELS = tuple(name for name in INTERVALS if name not in _REDUNDANT)
_OF_ESTIMATES = tuple(name for name in ESTIMATED if name not in _REDUNDANT)
_COUNTS = ("predictions", "labelled_predictions")
_PSI: Mapping[str, str] = {"psi": "feature", "prediction_psi": "prediction|score"}
_BROKEN = tuple(f"{share}_ratio" for share in BROKEN)

_NUMBERS = ("matthews_correlation", "bias", "r2", "explained_variance")
_SIZES = (
    *_COUNTS,
    *_PSI,
    *("log_loss", "brier_score", "mean_absolute_error", "root_mean_squared_error"),
    *("mean_absolute_percentage_error", "median_absolute_error", "p90_absolute_error"),
)
SIGNALS = (
    *_OF_LABELS,
    *(f"estimated_{name}" for name in _OF_ESTIMATES),
    *(*_COUNTS, *_PSI, *_BROKEN, "rejected_ratio"),
)
"""Names of all signals."""

_OF_FIELD = "role, field, baseline_id"
_VALUE, _ROWS, _SCORE, _VARIANCE = (f"signal:{of}" for of in ("value", "rows", "score", "variance"))
_OF_SEASONS = "ignoring (season) group_right ()"
_BEYOND = f"signal:upper_end < {_SCORE}\nor\nsignal:lower_end > {_SCORE}"  # the end, if it is


def scale_of(signal: str) -> Scale:
    if signal in _NUMBERS:
        return "number"
    return "size" if signal in _SIZES else "share"


def groups(timing: Timing) -> Iterable[Group]:
    rules = (
        *_values(),
        *_intervals(),
        *_scores(),
        *_expected(timing),
        *_ends(timing),
        *_bands(),
        *_judgement(timing),
    )
    yield Group("ml-exporter-signals", duration(timing.slow), rules)


def _values() -> Iterable[Rule]:
    yield Rule(
        _VALUE,
        "Every monitored quantity of a model under one name, by `signal`, over 1h.",
        "\nor\n".join(
            (
                _of_labels("model:performance:1h"),
                _of_estimates("model:estimated_performance:1h"),
                union({name: f"model:{name}:1h" for name in _COUNTS}, "signal"),
                with_label("model:rejected_ratio:1h", "signal", "rejected_ratio"),
            )
        ),
    )
    for signal, role in _PSI.items():
        yield Rule(
            _VALUE,
            f"The greatest PSI of a {role.replace('|', ' or ')}, over 1h.",
            without("max", _OF_FIELD, f'field:psi:1h{{role=~"{role}"}}'),
            {"signal": signal},
        )
    rows = 'field:rows:1h{role="feature"}'
    for share, signal in zip(BROKEN, _BROKEN, strict=True):
        count = f'field:{share}_count:1h{{role="feature"}}'
        yield Rule(
            _VALUE,
            f"Share of {share.replace('_', ' ')} values among those of all features, over 1h.",
            f"{without('sum', _OF_FIELD, count)}\n"
            f"/ {without('sum', _OF_FIELD, f'{rows} and {count}')}",
            {"signal": signal},
        )
        # Fields of a row break together: they are no more evidence than one.
        yield Rule(
            _ROWS,
            "Rows behind a share that has no interval by another name, by `signal`.",
            without("max", _OF_FIELD, f"{rows} and {count}"),
            {"signal": signal},
        )
    rejected = without("sum", "version, reason", "ml_rows_rejected_total:1h")
    yield Rule(
        _ROWS,
        "Rows that were read or rejected.",
        f"{rejected} + {without('sum', 'version', 'model:predictions:1h')} > 0",
        {"signal": "rejected_ratio"},
    )


def _of_labels(series: str) -> str:
    return _by_signal(f'{series}{{monitor=~"{"|".join(_OF_LABELS)}"}}', "$1")


def _of_estimates(series: str) -> str:
    preferred = (
        f'{series}{{monitor=~"{"|".join(_OF_ESTIMATES)}"}}\n'
        "and ignoring (monitor)\nmodel:preferred_estimator"
    )
    return _by_signal(without("max", "estimator", preferred), "estimated_$1")


def _by_signal(series: str, name: str) -> str:
    renamed = f'label_replace(\n{indent(series)},\n  "signal", "{name}", "monitor", "(.+)"\n)'
    return without("max", "monitor", renamed)


def _intervals() -> Iterable[Rule]:
    """95 % intervals of what was sampled in the hour."""
    for end, sign in SIGNS.items():
        of_counts = union(
            {
                name: f"model:{name}:1h + {Z_95**2 / 2!r} {sign} "
                f"{Z_95!r} * sqrt(model:{name}:1h + {Z_95**2 / 4!r})"
                for name in _COUNTS
            },
            "signal",
        )
        yield Rule(
            f"signal:interval_{end}",
            f"{end.capitalize()} end of the 95 % interval of each signal, by `signal`.",
            "\nor\n".join(
                (
                    _of_labels(f"model:performance_{end}:1h"),
                    _of_estimates(f"model:estimated_performance_{end}:1h"),
                    of_counts,
                    wilson(end, f"({_VALUE} * {_ROWS})", _ROWS),
                )
            ),
        )
        for signal, role in _PSI.items():
            # As much as it is by chance, so that few rows are no anomaly.
            spread = f"{Z_95 / 2!r} * sqrt(field:baseline_bins / field:rows:1h)"
            root = f'sqrt(field:psi:1h{{role=~"{role}"}})'
            yield Rule(
                f"signal:interval_{end}",
                f"{end.capitalize()} end for PSI: that of its root, whose error is taken as half "
                "the root of bins over rows.",
                without("max", _OF_FIELD, f"clamp_min({root} {sign} {spread}, 0) ^ 2"),
                {"signal": signal},
            )


def _selectors() -> Iterable[tuple[Scale, str]]:
    """Each scale, and the signals that are judged on it."""
    for scale in SCALES:
        names = "|".join(name for name in SIGNALS if scale_of(name) == scale)
        yield scale, f'{{signal=~"{names}"}}'


def _to_scale(series: str, scale: Scale) -> str:
    if scale == "share":
        return f"2 * asin(sqrt(clamp({series}, 0, 1)))"
    return f"2 * sqrt(clamp_min({series}, 0))" if scale == "size" else series


def _from_scale(score: str, scale: Scale) -> str:
    if scale == "share":
        return f"sin(clamp(\n{indent(score)},\n  0, {math.pi!r}\n) / 2) ^ 2"
    return f"(clamp_min(\n{indent(score)},\n  0\n) / 2) ^ 2" if scale == "size" else score


def _scores() -> Iterable[Rule]:
    for scale, selector in _selectors():
        lower, upper = (
            _to_scale(f"signal:interval_{end}{selector}", scale) for end in ("lower", "upper")
        )
        yield Rule(
            _SCORE,
            "Each signal on a scale on which its error depends little on its size: the middle of "
            "the ends of its interval there.",
            f"({lower}\n+ {upper})\n/ 2",
        )
        yield Rule(
            _VARIANCE,
            "Variance of the score: what sampling alone makes of it.",
            f"(\n  ({upper}\n  - {lower})\n  / {2 * Z_95!r}\n) ^ 2",
        )


def _lags(timing: Timing) -> Mapping[str, tuple[float, ...]]:
    """How long ago what is expected now was, by season."""
    day, week = timing.lengths["24h"], timing.lengths["7d"]
    return {
        "day": tuple(day * number for number in range(1, round(week / day) + 1)),
        "week": tuple(week * number for number in range(1, WEEKS + 1)),
    }


def _expected(timing: Timing) -> Iterable[Rule]:
    for season, lags in _lags(timing).items():
        variances = _earlier(timing, lags, f"avg_over_time({_VARIANCE}[%s] offset %s)")
        middle = f"{math.pi / 2!r} * {without('avg', 'lag', variances)}"
        least = len(lags) // 2 if season == "day" else 1
        count = f"{without('count', 'lag', variances)}\n>= {least}"
        yield Rule(
            "signal:expected_variance",
            "Variance of a score less what was expected of it, by sampling alone, by `season`.",
            f"{_VARIANCE}\n+ (\n{indent(middle)}\n  / (\n{indent(count, 4)}\n  )\n)",
            {"season": season},
        )
        learned = "quantile_over_time(0.5, signal:learned_score[%s] offset %s)"
        spoken = {"day": "seven days", "week": f"{WEEKS} weeks"}[season]
        yield Rule(
            "signal:expected_score",
            f"What a score is expected to be: the median of the same hour of the last {spoken}, "
            "by `season`.",
            f"quantile without (lag) (\n  0.5,\n{indent(_earlier(timing, lags, learned))}\n)\n"
            f'and ignoring (season)\nsignal:expected_variance{{season="{season}"}}',
            {"season": season},
        )


def _earlier(timing: Timing, lags: Iterable[float], form: str) -> str:
    """What was recorded in the hour about the same time of earlier days or weeks, by `lag`.

    `form` has `%s` for the range, and for its offset.
    """
    hour = timing.lengths["1h"]
    return union(
        {duration(lag): form % (span(hour), duration(lag - hour / 2)) for lag in lags}, "lag"
    )


def _ends(timing: Timing) -> Iterable[Rule]:
    hour, day, week = (timing.lengths[name] for name in ("1h", "24h", "7d"))
    of_week, of_days_before = (
        f"signal:excess_variance[{span(length)}]" for length in (week, week - day)
    )
    yield Rule(
        "signal:usual_excess_variance",
        "Variance of a score's distance from the expected one beyond sampling, by `season`: the "
        f"median over a week, of {LEAST_HOURS} hours or more on several days.",
        f"quantile_over_time(0.5, {of_week})\n"
        f"and\ncount_over_time({of_week}) >= {LEAST_HOURS}\n"
        f"and\npresent_over_time({of_days_before} offset {duration(day)})",
    )
    yield Rule(
        "signal:half_width",
        "From the middle of a band to its ends, by `season`, on the scale of the score: never less "
        "than sampling alone asks.",
        f"{WIDTH} * sqrt(\n  signal:expected_variance\n"
        "  + clamp_min(signal:usual_excess_variance, 0)\n)",
    )
    # In the first week it isn't known what weekends are like.
    known = without("max", "season", 'signal:half_width{season="week"}')
    for end, aggregate in (("lower", "min"), ("upper", "max")):
        of_season = f"signal:expected_score {SIGNS[end]} signal:half_width"
        yield Rule(
            f"signal:{end}_end",
            f"{end.capitalize()} end of the band on the scale of the score: that of the season "
            "which allows more.",
            f"{without(aggregate, 'season', of_season)}\nand\n{known}",
        )
    yield Rule(
        "signal:learned_score",
        "What later bands learn of a score: no more than the end of its band.",
        f"{_BEYOND}\nor\n{_SCORE}",
    )
    residual = (
        f"({_SCORE} - {_OF_SEASONS} signal:expected_score) ^ 2\n/ {MEDIAN_OF_SQUARES!r}\n"
        "- signal:expected_variance"
    )
    beyond = f"ignoring (season) (\n{indent(_BEYOND)}\n)"
    excess = f"{residual}\nunless {beyond}\nor\nsignal:usual_excess_variance\nand {beyond}"
    # Once an hour, so that a week of it is soon read.
    yield Rule(
        "signal:excess_variance",
        "What a score's distance from the expected one says of the variance beyond sampling, once "
        "an hour; of an anomaly, what is usual.",
        f"(\n{indent(excess)}\n)\nand on ()\nvector(time() % {hour:g}) < {timing.slow:g}",
    )


def _bands() -> Iterable[Rule]:
    for end, capital in (("lower", "Lower"), ("upper", "Upper")):
        for scale, selector in _selectors():
            # A value is beyond the end where its score is.
            score = f"signal:{end}_end{selector}\n- {_SCORE}\n+ {_to_scale(_VALUE, scale)}"
            yield Rule(
                f"signal:{end}_band",
                f"{capital} end of the band that a signal is expected in.",
                _from_scale(score, scale),
            )


def _judgement(timing: Timing) -> Iterable[Rule]:
    yield Rule(
        "signal:anomaly",
        "How far a signal is from the middle of its band, in half widths: above 1 it is outside.",
        f"abs(2 * {_SCORE} - signal:lower_end - signal:upper_end)\n"
        "/ (signal:upper_end - signal:lower_end > 0)",
    )
    threshold = thresholds.of_model(timing, "anomaly", "warning")
    yield Rule(
        "signal:threshold",
        "What `signal:anomaly` must exceed to be alerted on; of rows that name no version, the "
        "lowest of the versions'.",
        f"{threshold}\nor\n{without('min', 'version', threshold)}",
    )


def alerts(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    if severity == "critical":
        return
    yield Rule(
        "signal:alerted",
        "How far a signal is from the middle of its band, where that is above its threshold.",
        unless_muted_signals("signal:anomaly\n> ignoring (signal) group_left ()\nsignal:threshold"),
    )

    def figure(series: str) -> str:
        return each(f"{series}{{%s,signal=%q}}", number("%.3g"), ".Labels.signal")

    ends = (figure(f"signal:{end}_band") for end in ("lower", "upper"))
    band = f"{figure('signal:value')}, expected {' to '.join(ends)}"
    yield build.alert(
        "SignalAnomaly",
        severity,
        f"{without('count', 'signal', 'signal:alerted')} > 0",
        help="A monitored quantity is outside the band that it was in at this time of day on the "
        f"last days, and at this time of the week in the last {WEEKS} weeks, by more than its "
        "usual scatter and the number of rows explain.",
        summary=f"{ABOUT_MODEL}{NAME}: "
        + each("topk(1, signal:alerted{%s})", f"{{{{ .Labels.signal }}}} is {band}"),
        description=f"{ABOUT_MODEL}Other than at this time on earlier days and weeks, over the "
        "last hour, the farthest first:"
        + each("sort_desc(signal:alerted{%s})", f"\n- {{{{ .Labels.signal }}}}: {band}"),
    )

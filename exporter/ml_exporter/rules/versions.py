"""Versions of a model side by side: each against the champion.

That is the version which has the most predictions over 7d, of those that have any within 24h: one
that takes half of the traffic of today isn't champion by turns.

Versions are compared within a model, job, namespace and cluster. The twins are `two_proportion_z`
and `two_mean_z` of `ml_exporter.statistics.versions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_exporter.rules.annotations import ABOUT_MODEL, ABOUT_VERSIONS, NAME, Builder, each, number
from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.promql import indent
from ml_exporter.rules.timing import Timing

MATERIAL: Mapping[str, float] = {"warning": 0.02, "critical": 0.05}
"""By how much a version must be worse: of accuracy, or of the growth of mean absolute error."""

_ACCURACY, _ROWS, _ERROR, _ERRORS, _SQUARES = (
    "model:accuracy:24h",
    "model:labelled_predictions:24h",
    "model:mean_absolute_error:24h",
    "model:prediction_errors:24h",
    "ml_squared_error_total:24h",
)
_CHAMPION = "model:champion:7d"
WARMING_UP = "model:warming_up"
"""Alerts on drift wait `unless` it is there."""
_OF_CHAMPION = "ignoring (version) group_left ()"


def groups(timing: Timing) -> Iterable[Group]:
    rules = (_champion(), _warming_up(), *_of_champions(), *_challengers())
    yield Group("ml-exporter-versions", timing.interval("24h"), rules)


def _champion() -> Rule:
    # A week of whole hours lacks the last one.
    day, week = "model:predictions:24h", "model:predictions:7d"
    return Rule(
        _CHAMPION,
        "Predictions of the champion over 7d: of the versions in use within 24h, it has the most.",
        f"topk without (version) (\n  1,\n  ({week} > {day} or {day}) and {day} > 0\n)",
    )


def _warming_up() -> Rule:
    day, week, hour = (f"model:predictions:{window}" for window in ("24h", "7d", "1h"))
    # Rows of a whole day are in the week, too, after another hour.
    is_new = f"{day} > 0\nunless\n{week} > {day}"
    is_minor = f"{hour} < {_OF_CHAMPION}\n(0.5 * sum without (version) ({hour}))"
    return Rule(
        WARMING_UP,
        "Predictions of a version over 24h, where it has none from before and less than half of "
        "the model's traffic of the last hour: what a canary, or a new version beside the present "
        "one, is asked within its first day is no sample of a day.",
        f"(\n{indent(is_new)}\n)\nand\n{is_minor}",
    )


def _champions(figure: str) -> str:
    return f"champion:{figure.removeprefix('model:').removeprefix('ml_')}"


def _of_champions() -> Iterable[Rule]:
    """What challengers are compared with; it has no version, and so there is one a model."""
    for figure, what in (
        (_ACCURACY, "Accuracy"),
        (_ROWS, "Labelled predictions"),
        (_ERROR, "Mean absolute error"),
        (_ERRORS, "Labelled predictions with an error"),
        (_SQUARES, "Sum of squared errors"),
    ):
        yield Rule(
            _champions(figure),
            f"{what} of the champion, over 24h.",
            f"max without (version) ({figure} and {_CHAMPION})",
        )


def _challengers() -> Iterable[Rule]:
    accuracy, rows, error, errors, squares = (
        _champions(figure) for figure in (_ACCURACY, _ROWS, _ERROR, _ERRORS, _SQUARES)
    )
    yield Rule(
        "model:version_gap:24h",
        "By how much a version is worse than the champion over 24h: the champion's accuracy less "
        "its own; of a regression, its mean absolute error over the champion's, less 1.",
        f"(\n  -(\n    {_ACCURACY} - {_OF_CHAMPION}\n    {accuracy}\n  )\n  or\n"
        f"  {_ERROR} / {_OF_CHAMPION}\n  ({error} > 0) - 1\n)\nunless\n{_CHAMPION}",
    )
    pooled = "model:pooled_accuracy:24h"
    yield Rule(
        pooled,
        "Accuracy of a version and the champion together, over 24h.",
        f"(\n  {_ACCURACY} * {_ROWS}\n  + {_OF_CHAMPION}\n  ({accuracy} * {rows})\n)\n"
        f"/ (\n  {_ROWS}\n  + {_OF_CHAMPION}\n  {rows}\n)\nunless\n{_CHAMPION}",
    )
    shares = (
        f"-(\n  {_ACCURACY} - {_OF_CHAMPION}\n  {accuracy}\n)\n"
        f"/ sqrt(\n  ({pooled} * (1 - {pooled}) > 0)\n"
        f"  * (\n    1 / {_ROWS}\n    + {_OF_CHAMPION}\n    (1 / {rows})\n  )\n)"
    )

    def variance_of_mean(figure: str, of_squares: str, count: str) -> str:
        return f"({of_squares} / {count} - {figure} ^ 2) / ({count} - 1 > 0)"

    own, of_champion = (
        variance_of_mean(_ERROR, _SQUARES, _ERRORS),
        variance_of_mean(error, squares, errors),
    )
    means = (
        f"(\n  {_ERROR} - {_OF_CHAMPION}\n  {error}\n)\n"
        f"/ sqrt(\n  {own}\n  + {_OF_CHAMPION}\n  ({of_champion}) > 0\n)"
    )
    yield Rule(
        "model:version_z:24h",
        "By how many standard errors a version is worse than the champion over 24h: two-proportion "
        "z of accuracy, pooled; of a regression, Welch's of the mean absolute error.",
        f"(\n{shares}\nor\n{means}\n)\nunless\n{_CHAMPION}",
    )


def alerts(build: Builder, severity: str) -> Iterable[Alert]:
    gap, z = "model:version_gap:24h", "model:version_z:24h"
    about_versions = ABOUT_VERSIONS.replace("$model :=", "$versions :=")

    def of_champion(query: str, text: str) -> str:
        return each(query, text).replace("$model", "$versions")

    def beside(name: str, what: str, form: str) -> str:
        other = of_champion(f"champion:{name}:24h{{%s}}", number(form))
        return each(f"model:{name}:24h{{%s}}", f"\n{what}: {number(form)} (champion: {other})")

    champion = of_champion(f"{_CHAMPION}{{%s}}", "{{ .Labels.version }}")
    figures = beside("accuracy", "Accuracy", "%.3f") + beside(
        "mean_absolute_error", "Mean absolute error", "%.4g"
    )
    yield build.alert(
        "VersionRegression",
        severity,
        f"{gap} > {MATERIAL[severity]}\n"
        f"and\n{z} > model:performance_critical_value\n"
        f"and\n{_ROWS} >= {LEAST_LABELLED}\n"
        f"and ignoring (version)\nchampion:labelled_predictions:24h >= {LEAST_LABELLED}",
        help="A version is worse over 24h than the one with the most predictions over 7d, by more "
        f"than chance explains, and by more than {MATERIAL[severity]:.0%} of accuracy, or of the "
        f"champion's mean absolute error; both have {LEAST_LABELLED} labelled predictions.",
        summary=f"{about_versions}{NAME} is {{{{ $value | humanizePercentage }}}} worse than "
        f"{champion}",
        description=f"{ABOUT_MODEL}{about_versions}Over the last 24h, by arrival of the label, "
        f"against version {champion}, which has the most predictions:{figures}\n"
        f"Standard errors between them: {each(f'{z}{{%s}}', number('%.1f'))}",
    )

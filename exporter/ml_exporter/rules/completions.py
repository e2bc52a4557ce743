"""Completions of language models: why they end, their tokens, and how fast those come.

The twin is `ml_exporter.statistics.completions`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.config.completions import THRESHOLDS
from ml_exporter.rules import counts
from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.promql import indent, without
from ml_exporter.rules.shares import two_shares_z
from ml_exporter.rules.thresholds import of_model
from ml_exporter.rules.timing import WINDOWS, Timing, duration
from ml_exporter.statistics.completions import CRITICAL_VALUE, CUT_OFF, LEAST_CUT_OFF

QUANTILES = (0.5, 0.99)
RISES, SLOWDOWNS = THRESHOLDS["cut_off_rise"], THRESHOLDS["first_token_slowdown"]
LEAST_STREAMS = 100  # in an hour, for its 99th percentile to be judged; ten times as many before

COUNTERS = (
    Counter("ml_completions_total", "ml_completions_total", "Answers, by why they ended,"),
    Counter(
        "ml_request_tokens_sum",
        "ml_request_tokens_sum",
        "Tokens of requests for completions, by direction,",
    ),
    Counter(
        "ml_request_tokens_count",
        "ml_request_tokens_count",
        "Requests for completions whose tokens are known, by direction,",
    ),
    Counter(
        "ml_cached_input_tokens_total", "model:cached_input_tokens", "Input tokens that were cached"
    ),
    Counter(
        "ml_reasoning_output_tokens_total",
        "model:reasoning_output_tokens",
        "Output tokens that are the model's reasoning",
    ),
    Counter(
        "ml_requests_without_usage_total",
        "model:requests_without_usage",
        "Requests for completions whose response doesn't say how many tokens it took",
    ),
    Counter(
        "ml_time_to_first_token_seconds_bucket",
        "ml_time_to_first_token_seconds_bucket",
        "Streamed answers, by how long they took to begin at most,",
    ),
    Counter(
        "ml_time_per_output_token_seconds_bucket",
        "ml_time_per_output_token_seconds_bucket",
        "Streamed answers, by how long each token after the first took at most,",
    ),
)


def groups(timing: Timing) -> Iterable[Group]:
    for window in WINDOWS:
        rules = [*counts.of_window(timing, COUNTERS, window), *_figures(timing, window)]
        if window == "1h":
            rules += _changes(timing)
        yield Group(f"ml-exporter-completions-{window}", timing.interval(window), tuple(rules))


def _figures(timing: Timing, window: str) -> Iterable[Rule]:
    ended = f"ml_completions_total:{window}"
    answers = f"model:completions:{window}"
    yield Rule(answers, f"Answers over {window}.", without("sum", "finish_reason", ended))
    yield Rule(
        f"model:finish_reason_ratio:{window}",
        f"Share of the answers that ended for a `finish_reason`, over {window}.",
        f"{ended}\n/ ignoring (finish_reason) group_left ()\n({answers} > 0)",
    )
    some = f'{ended}{{finish_reason=~"{"|".join(CUT_OFF)}"}}'
    yield Rule(
        f"model:cut_off_completions:{window}",
        "Answers that ended before the model was done: they had their greatest length, or a "
        f"filter of contents stopped them. Over {window}.",
        without("sum", "finish_reason", some),
    )
    yield Rule(
        f"model:cut_off_ratio:{window}",
        f"Share of the answers that ended before the model was done, over {window}.",
        f"model:cut_off_completions:{window} / ({answers} > 0)",
    )
    for direction, what in (("input", "of prompts"), ("output", "of answers")):
        yield Rule(
            f"model:{direction}_tokens:{window}",
            f"Tokens {what} over {window}.",
            without(
                "sum", "direction", f'ml_request_tokens_sum:{window}{{direction="{direction}"}}'
            ),
        )
    yield Rule(
        f"model:tokens_per_request:{window}",
        "Mean of the tokens of a request, by `direction`: of its prompt, and of all its answers. "
        f"Over {window}.",
        f"ml_request_tokens_sum:{window} / (ml_request_tokens_count:{window} > 0)",
    )
    for part, whole, what in (
        ("cached_input", "input", "input tokens that were cached"),
        ("reasoning_output", "output", "output tokens that are the model's reasoning"),
    ):
        yield Rule(
            f"model:{part}_ratio:{window}",
            f"Share of the {what}, over {window}.",
            f"model:{part}_tokens:{window} / (model:{whole}_tokens:{window} > 0)",
        )
    yield Rule(
        f"model:output_tokens_per_second:{window}",
        f"Output tokens a second of all requests together, on average over {window}.",
        f"model:output_tokens:{window} / {timing.lengths[window]:g}",
    )
    streamed = f'ml_time_to_first_token_seconds_bucket:{window}{{le="+Inf"}}'
    yield Rule(
        f"model:streamed_requests:{window}",
        f"Requests whose answer was streamed, over {window}.",
        without("sum", "le", streamed),
    )
    for name, what in (
        ("time_to_first_token_seconds", "it took until a streamed answer began"),
        ("time_per_output_token_seconds", "each token of a streamed answer took after the first"),
    ):
        for quantile in QUANTILES:
            yield Rule(
                f"model:{name}:{window}",
                f"How long {what}, by `quantile`, over {window}.",
                f"histogram_quantile({quantile}, ml_{name}_bucket:{window}) >= 0",
                {"quantile": str(quantile)},
            )


def _changes(timing: Timing) -> Iterable[Rule]:
    """The hour against the week that ended a day ago, of all versions: a new one has no week.

    It ended then, for what is so today must not become usual while it is so.
    """
    before = f" offset {duration(timing.lengths['24h'])}"

    def beside(count: str, of_all_versions: str) -> str:
        """The same for each version that there is now."""
        now = f"0 * model:{count}:1h"
        return f"{now}\n+ ignoring (version) group_left () (\n{indent(of_all_versions)}\n)"

    for count, what in (("completions", "Answers"), ("cut_off_completions", "Answers cut off")):
        yield Rule(
            f"model:earlier_{count}:7d",
            f"{what} of all versions in the seven days until yesterday, beside each version of "
            "today.",
            beside(count, without("sum", "version", f"model:{count}:7d{before}")),
        )
    cut_off, answers = "model:cut_off_completions:1h", "model:completions:1h"
    before_cut_off, before_answers = (
        f"model:earlier_{count}:7d" for count in ("cut_off_completions", "completions")
    )
    yield Rule(
        "model:earlier_cut_off_ratio:7d",
        "Share of the answers of all versions that were cut off in the seven days until yesterday.",
        f"{before_cut_off} / ({before_answers} > 0)",
    )
    z = two_shares_z(cut_off, answers, before_cut_off, before_answers)
    yield Rule(
        "model:cut_off_rise:1h",
        "By how much the share of answers that are cut off is above that of the seven days until "
        f"yesterday, where it is so by {CRITICAL_VALUE:g} standard errors and they are "
        f"{LEAST_CUT_OFF} or more, over 1h.",
        "model:cut_off_ratio:1h - model:earlier_cut_off_ratio:7d\n"
        f"and\n{cut_off} >= {LEAST_CUT_OFF}\n"
        f"and (\n{indent(z)}\n) > {CRITICAL_VALUE:g}",
    )
    buckets = f"ml_time_to_first_token_seconds_bucket:7d{before}"
    streamed = without("sum", "version", f"model:streamed_requests:7d{before}")
    slowest = f"histogram_quantile(0.99, {without('sum', 'version', buckets)}) > 0"
    yield Rule(
        "model:earlier_time_to_first_token_seconds:7d",
        "The 99th percentile of how long streamed answers of all versions took to begin, in the "
        f"seven days until yesterday, where there were {10 * LEAST_STREAMS} or more, beside each "
        "version of today.",
        beside("streamed_requests", f"{slowest}\nand\n{streamed} >= {10 * LEAST_STREAMS}"),
    )
    yield Rule(
        "model:first_token_slowdown:1h",
        "The 99th percentile of how long streamed answers take to begin, over that of the seven "
        f"days until yesterday, of {LEAST_STREAMS} answers or more, over 1h.",
        f"{_slowest()}\n/ model:earlier_time_to_first_token_seconds:7d\n"
        f"and\nmodel:streamed_requests:1h >= {LEAST_STREAMS}",
    )


def _slowest() -> str:
    """The 99th percentile of how long the streamed answers of an hour take to begin."""
    return without("max", "quantile", 'model:time_to_first_token_seconds:1h{quantile="0.99"}')


def alerts(build: Builder, severity: str) -> Iterable[Alert]:
    percent, seconds = "{{ .Value | humanizePercentage }}", "{{ .Value | humanizeDuration }}"
    reasons = each(
        "sort_desc(model:finish_reason_ratio:1h{%s} > 0)",
        f"\n- {{{{ .Labels.finish_reason }}}}: {percent}",
    )
    rise, slowdown, limit = (
        indent(of_model(build.timing, monitor, severity))
        for monitor in ("cut_off_rise", "first_token_slowdown", "time_to_first_token_seconds")
    )
    yield build.alert(
        "CompletionsCutOff",
        severity,
        f"model:cut_off_ratio:1h\nand\nmodel:cut_off_rise:1h\n> (\n{rise}\n)",
        help="A larger part of the answers of a language model than in the seven days until "
        "yesterday ends before it is done, at their greatest length or by a filter of contents: "
        f"by {RISES['warning']:.0%} of all answers of the last hour (critical: "
        f"{RISES['critical']:.0%}), and by more than chance explains.",
        summary=f"{ABOUT_MODEL}{NAME}: "
        "{{ $value | humanizePercentage }} of answers are cut off",
        description=f"{ABOUT_MODEL}In the seven days until yesterday it was "
        + each("model:earlier_cut_off_ratio:7d{%s}", percent)
        + f". Answers of the last hour, by why they ended:{reasons}",
    )
    yield build.alert(
        "FirstTokenSlow",
        severity,
        f"{_slowest()}\nand (\n  model:first_token_slowdown:1h\n  > (\n{indent(slowdown)}\n  )\n"
        f"  or\n{indent(_slowest())}\n  > (\n{indent(limit)}\n  )\n"
        f"  and\n  model:streamed_requests:1h >= {LEAST_STREAMS}\n)",
        help="The 99th percentile of how long streamed answers took to begin in the last hour is "
        f"more than {SLOWDOWNS['warning']:g} times (critical: {SLOWDOWNS['critical']:g} times) "
        "that of the seven days until yesterday, or above a limit in seconds that is configured. "
        f"It rests on {LEAST_STREAMS} streamed answers or more, and on ten times as many.",
        summary=f"{ABOUT_MODEL}{NAME}: 1 % of streamed answers take over "
        "{{ $value | humanizeDuration }} to begin",
        description=f"{ABOUT_MODEL}The 99th percentile over the last hour is "
        "{{ $value | humanizeDuration }}"
        + each(
            "model:earlier_time_to_first_token_seconds:7d{%s}",
            f", over the seven days until yesterday {seconds}",
        )
        + each(
            "model:time_to_first_token_seconds:1h{%s,quantile='0.5'}", f"; the median is {seconds}"
        )
        + ".",
    )

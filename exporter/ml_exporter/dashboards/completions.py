"""Completions: why a language model's answers end, what they take, and how soon they come."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.config.completions import THRESHOLDS
from ml_exporter.dashboards.panels import (
    ORANGE,
    RED,
    About,
    Column,
    Panel,
    Query,
    Steps,
    stat_panel,
    table_panel,
    timeseries_panel,
)
from ml_exporter.dashboards.selectors import MODEL
from ml_exporter.rules.completions import QUANTILES
from ml_exporter.statistics.completions import CUT_OFF

NO_ANSWERS = "No answers of a language model in this window"
NO_STREAMS = "No answers were streamed in this window"

_BY_TIMES = (
    ("time_to_first_token_seconds", "to the first token"),
    ("time_per_output_token_seconds", "for each that follows"),
)


def _by(labels: str, figure: str, aggregate: str = "sum") -> str:
    return f"{aggregate} by ({labels}) (model:{figure}:${{window}}{{{MODEL}}})"


def _steps(monitor: str) -> Steps:
    limits = THRESHOLDS[monitor]
    return ((limits["warning"], ORANGE), (limits["critical"], RED))


def answers() -> Iterable[Panel]:
    yield table_panel(
        About(
            "Versions that answer",
            "Each version's answers in the window, which share of them was cut off, and what a "
            "request takes. Of two versions at once, the new one should do no worse.",
            width=24,
            height=5,
            no_value=NO_ANSWERS,
        ),
        {"version": "Version"},
        Column("Answers", _by("version", "completions"), decimals=0),
        Column("Cut off", _by("version", "cut_off_ratio", "max"), "percentunit", decimals=1),
        *(
            Column(
                f"{direction.capitalize()} tokens of a request",
                "max by (version) (model:tokens_per_request:${window}"
                f'{{{MODEL},direction="{direction}"}})',
                decimals=0,
            )
            for direction in ("input", "output")
        ),
        *(
            Column(
                f"p99 {what}",
                f'max by (version) (model:{name}:${{window}}{{{MODEL},quantile="0.99"}})',
                "s",
            )
            for name, what in _BY_TIMES
        ),
        worst=("Cut off",),
    )
    yield timeseries_panel(
        About(
            "Answers per minute by finish reason",
            "`stop` is the model's own end, `tool_calls` a call that the client is to make. "
            "`length` had the greatest length, or filled the context; `content_filter` was "
            "stopped by a filter. `<missing>` answers say no reason.",
            width=12,
            no_value=NO_ANSWERS,
        ),
        Query(f"sum by (finish_reason) (ml_completions_total:1m{{{MODEL}}})", "{{finish_reason}}"),
        stacked=True,
    )
    yield timeseries_panel(
        About(
            "Answers that are cut off",
            "Share of the answers that ended before the model was done, by reason, over the "
            "window. CompletionsCutOff looks at one hour.",
            "percentunit",
            width=6,
            decimals=1,
            no_value=NO_ANSWERS,
        ),
        *(
            Query(
                "max by (version) (model:finish_reason_ratio:${window}"
                f'{{{MODEL},finish_reason="{reason}"}})',
                f"{reason} {{{{version}}}}",
            )
            for reason in CUT_OFF
        ),
    )
    yield timeseries_panel(
        About(
            "Rise of answers that are cut off",
            "By how much their share in the last hour is above that of the seven days until "
            "yesterday, where that is more than chance explains. Dashed is where CompletionsCutOff "
            "warns, and pages, unless it is configured otherwise.",
            "percentunit",
            width=6,
            decimals=1,
            steps=_steps("cut_off_rise"),
            no_value="No more of them than there were",
        ),
        Query(f"max by (version) (model:cut_off_rise:1h{{{MODEL}}})", "{{version}}"),
        limits=True,
    )


def speed() -> Iterable[Panel]:
    for name, title, description in (
        (
            "time_to_first_token_seconds",
            "Time to the first token",
            "From the last byte of a request to the first event of its streamed answer, over the "
            "window. It grows with the server's queue, with the length of prompts, and as less of "
            "them is cached. Beyond 10 s it isn't known how long.",
        ),
        (
            "time_per_output_token_seconds",
            "Time for each token that follows",
            "What each token after the first takes, on average over an answer. Above 0.2 s, people "
            "read faster than the answer comes. It grows with how many requests the server works "
            "on at once.",
        ),
    ):
        yield timeseries_panel(
            About(title, description, "s", no_value=NO_STREAMS),
            *(
                Query(
                    f'max by (version) (model:{name}:${{window}}{{{MODEL},quantile="{quantile}"}})',
                    f"p{quantile * 100:g} {{{{version}}}}",
                )
                for quantile in QUANTILES
            ),
        )
    yield timeseries_panel(
        About(
            "First token against the week before",
            "The 99th percentile of the last hour over that of the seven days until yesterday. "
            "Dashed is where FirstTokenSlow warns, and pages, unless it is configured otherwise.",
            steps=_steps("first_token_slowdown"),
            no_value="There is no week before, or too few answers were streamed",
        ),
        Query(f"max by (version) (model:first_token_slowdown:1h{{{MODEL}}})", "{{version}}"),
        limits=True,
    )


def tokens() -> Iterable[Panel]:
    yield timeseries_panel(
        About(
            "Tokens per minute",
            "Tokens of prompts (input) and of answers (output), exactly. It is what a bill, or the "
            "load of the server, is made of.",
            width=12,
            no_value=NO_ANSWERS,
        ),
        Query(f"sum by (direction) (ml_request_tokens_sum:1m{{{MODEL}}})", "{{direction}}"),
        stacked=True,
    )
    yield timeseries_panel(
        About(
            "Tokens of a request",
            "Their mean over the window. Prompts that grow are longer chats, or more that is "
            "retrieved; answers that grow may be cut off next.",
            width=12,
            decimals=0,
            no_value=NO_ANSWERS,
        ),
        Query(
            f"max by (version, direction) (model:tokens_per_request:${{window}}{{{MODEL}}})",
            "{{direction}} {{version}}",
        ),
    )
    for title, figure, description in (
        (
            "Input tokens that were cached",
            "cached_input_ratio",
            "Their share, of what `usage` says. They cost less, and come sooner: a fall makes the "
            "first token late. 0 where the server doesn't say it.",
        ),
        (
            "Output tokens that nobody reads",
            "reasoning_output_ratio",
            "Share of the model's reasoning in its output, of what `usage` says.",
        ),
    ):
        yield timeseries_panel(
            About(title, description, "percentunit", decimals=0, no_value=NO_ANSWERS),
            Query(_by("version", figure, "max"), "{{version}}"),
        )
    yield stat_panel(
        About(
            "Requests that don't say their tokens",
            "Requests of the window whose response has no `usage`: their input tokens are in no "
            "figure, and the output tokens of streams are counted by their chunks. Ask with "
            "`stream_options.include_usage`.",
            no_value=NO_ANSWERS,
        ),
        Query(_by("version", "requests_without_usage"), "{{version}}"),
        history=True,
    )

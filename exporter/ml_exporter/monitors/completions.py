"""Completions of a language model: why they ended, their tokens, and how fast those came.

What is counted, and in which buckets, follows OpenTelemetry's conventions for generative AI:
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics
"""

from __future__ import annotations

import numpy as np

from ml_exporter.batch import Batch, Field
from ml_exporter.families import Family, Histogram
from ml_exporter.statistics.bins import MISSING, OTHER, Floats

FINISH_REASON = Field("completion", "finish_reason")
INPUT_TOKENS = Field("completion", "input_tokens")
OUTPUT_TOKENS = Field("completion", "output_tokens")
CACHED_TOKENS = Field("completion", "cached_tokens")
REASONING_TOKENS = Field("completion", "reasoning_tokens")
IS_COUNTED = Field("completion", "is_counted")
FIRST = Field("completion", "first")
DURATION = Field("completion", "duration")

REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call", OTHER, MISSING)
TOKENS = tuple(float(4**power) for power in range(11))
TO_FIRST = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)  # seconds
BETWEEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)  # seconds
_MOST_TOKENS = 1e9  # of a request; who says more says nothing


class Completions:
    def __init__(self, model: str, version: str) -> None:
        of = {"model": model, "version": version}
        self._ended = Family(
            "ml_completions_total",
            "Answers of a language model, by the reason why they ended.",
            "counter",
            ("finish_reason",),
            of=of,
        )
        for reason in REASONS:
            self._ended.add(reason)
        self._tokens = {
            key: Histogram(
                "ml_request_tokens",
                "Tokens of requests for completions: of their prompt, and of all their answers.",
                TOKENS,
                of={**of, "direction": direction},
            )
            for key, direction in ((INPUT_TOKENS, "input"), (OUTPUT_TOKENS, "output"))
        }
        self._parts = {
            key: Family(name, help, "counter", of=of)
            for key, name, help in (
                (
                    CACHED_TOKENS,
                    "ml_cached_input_tokens_total",
                    "Those of the input tokens that the model server had cached.",
                ),
                (
                    REASONING_TOKENS,
                    "ml_reasoning_output_tokens_total",
                    "Those of the output tokens that nobody reads: the model's reasoning.",
                ),
                (
                    IS_COUNTED,
                    "ml_requests_without_usage_total",
                    "Requests for completions whose response doesn't say how many tokens it took.",
                ),
            )
        }
        for family in self._parts.values():
            family.add()
        self._first = Histogram(
            "ml_time_to_first_token_seconds",
            "How long it took until the first event of a streamed answer, from the last byte of"
            " the request.",
            TO_FIRST,
            of=of,
        )
        self._between = Histogram(
            "ml_time_per_output_token_seconds",
            "How long each token took after the first one, on average over a streamed answer.",
            BETWEEN,
            of=of,
        )
        self.families = (
            *(self._ended, *self._tokens.values(), *self._parts.values()),
            *(self._first, self._between),
        )

    def update(self, batch: Batch) -> None:
        for reason, rows in batch.column(FINISH_REASON).categories.counts.items():
            self._ended.inc(rows, reason if reason in REASONS else OTHER)
        for key, histogram in self._tokens.items():
            histogram.observe(_known(_tokens(batch, key)))
        for key, family in self._parts.items():
            family.inc(_known(_tokens(batch, key)).sum())
        first = batch.column(FIRST).numbers.values
        self._first.observe(_known(first))
        following = _tokens(batch, OUTPUT_TOKENS) - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            each = (batch.column(DURATION).numbers.values - first) / following
        self._between.observe(each[(following > 0) & (each >= 0)])


def _tokens(batch: Batch, key: Field) -> Floats:
    """A number of tokens for each row, or NaN."""
    values = batch.column(key).numbers.values
    return np.where((values >= 0) & (values <= _MOST_TOKENS), values, np.nan)


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]

"""What is watched of a language model with OpenAI's API, unless it is said otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from ml_exporter.config.extractors import Extractor

FORMAT = "openai"

# Paths of what is known of an exchange as a whole; no name in a body begins so.
DURATION, FIRST = "\0duration", "\0first"  # seconds of the answer, and to the first of its events
INPUT_TOKENS, OUTPUT_TOKENS = "\0input tokens", "\0output tokens"
CACHED_TOKENS, REASONING_TOKENS = "\0cached tokens", "\0reasoning tokens"
IS_COUNTED = "\0is counted"  # 1: the response says no usage

# What is counted besides the fields of a model, by the path that it is at.
COUNTED: Mapping[str, str] = {
    "finish_reason": "outputs.finish_reason",
    "input_tokens": INPUT_TOKENS,
    "output_tokens": OUTPUT_TOKENS,
    "cached_tokens": CACHED_TOKENS,
    "reasoning_tokens": REASONING_TOKENS,
    "is_counted": IS_COUNTED,
    "first": FIRST,
    "duration": DURATION,
}

# What is alerted on by itself, by monitor and severity.
THRESHOLDS: Mapping[str, Mapping[Literal["warning", "critical"], float]] = {
    "cut_off_rise": {"warning": 0.05, "critical": 0.2},  # of all answers
    "first_token_slowdown": {"warning": 2.0, "critical": 5.0},  # times as slow
}

_PATH = re.compile(r"/(chat/)?completions/?$")

PREDICTION = "finish_reason"
FEATURES: Mapping[str, str] = {
    "messages": "messages",
    "prompt_words": "prompt",
    "prompt_non_ascii": "prompt",
    "temperature": "temperature",
    "max_tokens": "max_tokens",
    "tools": "tools",
    "answer_words": "outputs.answer",
    "answer_non_ascii": "outputs.answer",
}
EXTRACTED: Mapping[str, Extractor] = {
    "prompt_words": "words",
    "prompt_non_ascii": "non_ascii",
    "answer_words": "words",
    "answer_non_ascii": "non_ascii",
}


def are_asked_at(path: str) -> bool:
    """Whether a URL's path is that of completions."""
    return _PATH.search(path) is not None

"""What is watched of a language model with OpenAI's API, unless it is said otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ml_exporter.extractors import Extractor

FORMAT = "openai"

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

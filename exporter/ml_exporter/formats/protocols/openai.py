"""OpenAI's completions: chat completions and completions, as many servers have them.

https://platform.openai.com/docs/api-reference/chat: a request, its response, and the chunks that a
response is streamed in, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them.
A row is an answer, of which a request may ask for several.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_exporter.config.completions import (
    CACHED_TOKENS,
    INPUT_TOKENS,
    IS_COUNTED,
    OUTPUT_TOKENS,
    REASONING_TOKENS,
)
from ml_exporter.formats.exchanges import LONGEST_PREFIX, Rows
from ml_exporter.formats.free_values import NONE
from ml_exporter.formats.lines import BOM
from ml_exporter.formats.messages import Message, Rejected, json_value
from ml_exporter.formats.protocols.tables import an_answer, an_object

FREE = NONE

MOST_ANSWERS = 1000  # to one request; the API itself gives 128 at most
MOST_PARAMETERS = 500
MOST_LINES = 400_000  # of one response that is streamed

_DONE = b"[DONE]"
_LINE = re.compile(rb"([^\r\n]*+)(?:\r\n|\n|\r|\Z)")
_EVENT_STREAM = "text/event-stream"
_STREAM_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")  # what a chunk may bring more of
_ELSEWHERE = ("messages", "prompt", "tools", "functions")


@dataclass(slots=True)
class _Answer:
    """One of the choices of a response, perhaps as far as it has come."""

    pieces: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    tools: set[int] = field(default_factory=set)  # numbers of the tools that it calls

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def inputs(request: Message) -> Rows:
    body = an_object(request.json)
    columns: dict[str, Sequence[object]] = {}
    for name, value in _parameters(body):
        columns[name] = [value]
        if len(columns) > MOST_PARAMETERS:
            raise Rejected("too_large")
    if "max_tokens" not in columns and "max_completion_tokens" in columns:
        columns["max_tokens"] = columns["max_completion_tokens"]
    tools = body.get("tools")
    columns["tools"] = [len(tools) if isinstance(tools, list) else 0]
    if "messages" in body:
        columns |= _conversation(body["messages"])
        return Rows(1, columns, holds_for_all=True, is_open=True)
    prompts = _prompts(body.get("prompt"))
    answers = 1 if body.get("n") is None else body["n"]
    if len(prompts) == 1:
        return Rows(1, {**columns, "prompt": prompts}, holds_for_all=True, is_open=True)
    if not _is_whole(answers) or not 0 < len(prompts) * answers <= MOST_ANSWERS:
        raise Rejected("too_large")
    rows = len(prompts) * answers
    columns = {name: [*values] * rows for name, values in columns.items()}
    columns["prompt"] = [prompt for prompt in prompts for _ in range(answers)]
    return Rows(rows, columns, is_open=True)


def outputs(response: Message) -> Rows:
    content = response.content
    if response.media_type == _EVENT_STREAM or _is_stream(content):
        return _streamed(content)
    body = an_answer(response.json)
    answers: dict[int, _Answer] = {}
    for place, choice in enumerate(_list(body.get("choices"))):
        answer = _answer_of(answers, an_object(choice), place)
        _add(answer, choice, choice.get("message"))
    return _rows(answers, body, None)


def _streamed(content: bytes) -> Rows:
    """A response in chunks. Where none says the usage, those with something new are counted."""
    answers: dict[int, _Answer] = {}
    last: dict[str, Any] = {}
    counted = 0
    for data in _events(content):
        if data.strip() == _DONE:
            break
        chunk = an_answer(json_value(data))
        for place, choice in enumerate(_list(chunk.get("choices"))):
            answer = _answer_of(answers, an_object(choice), place)
            counted += _add(answer, choice, choice.get("delta"))
        last |= {name: value for name, value in chunk.items() if value is not None}
    return _rows(answers, last, counted)


def _is_stream(content: bytes) -> bool:
    """Whether a body that came without its headers is one of events."""
    return content.removeprefix(BOM).lstrip(b"\r\n")[:8].startswith(_STREAM_STARTS)


def _events(content: bytes) -> Iterator[bytes]:
    """The data of each event; of the last one, too, where the line after it is missing."""
    data: list[bytes] = []
    for number, match in enumerate(_LINE.finditer(content.removeprefix(BOM))):
        line = match[1]
        if number > MOST_LINES:
            raise Rejected("too_large")
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data.clear()


def _list(value: object) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise Rejected("malformed")
    return value or []


def _answer_of(answers: dict[int, _Answer], choice: dict[str, Any], place: int) -> _Answer:
    index = choice.get("index")
    if index is None:
        index = place
    if not _is_whole(index) or index < 0:
        raise Rejected("malformed")
    if index >= MOST_ANSWERS:
        raise Rejected("too_large")
    return answers.setdefault(index, _Answer())


def _add(answer: _Answer, choice: dict[str, Any], message: object) -> bool:
    """Add what a choice has; whether that is anything of the answer's."""
    reason = choice.get("finish_reason")
    if isinstance(reason, str):
        answer.finish_reason = reason
    if message is None:
        text = choice.get("text")  # not a chat
        if isinstance(text, str):
            answer.pieces.append(text)
        return bool(text)
    message = an_object(message)
    answer.pieces += _texts_of(message.get("content"))
    answer.refusal += _texts_of(message.get("refusal"))
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        for place, call in enumerate(calls[:MOST_ANSWERS]):
            number = call.get("index", place) if isinstance(call, dict) else place
            answer.tools.add(number if _is_whole(number) else place)
    return bool(calls) or any(message.get(name) for name in _TEXTS)


def _rows(answers: Mapping[int, _Answer], body: dict[str, Any], counted: int | None) -> Rows:
    if not answers:
        raise Rejected("malformed")
    ordered = [answers[index] for index in sorted(answers)]
    rows = len(ordered)
    columns: dict[str, Sequence[object]] = {
        "answer": [one.text if one.pieces else None for one in ordered],
        "refusal": ["".join(one.refusal) if one.refusal else None for one in ordered],
        "finish_reason": [one.finish_reason for one in ordered],
        "tool_calls": [len(one.tools) for one in ordered],
    }
    usage = body.get("usage")
    numbers = dict(_numbers("usage", usage)) if isinstance(usage, dict) else {}
    columns |= {name: [number] * rows for name, number in numbers.items()}
    of_request = {  # its first row alone has them
        INPUT_TOKENS: numbers.get("usage.prompt_tokens"),
        OUTPUT_TOKENS: numbers.get("usage.completion_tokens", counted),
        CACHED_TOKENS: numbers.get("usage.prompt_tokens_details.cached_tokens"),
        REASONING_TOKENS: numbers.get("usage.completion_tokens_details.reasoning_tokens"),
        IS_COUNTED: int("usage.completion_tokens" not in numbers),
    }
    columns |= {name: [value, *[None] * (rows - 1)] for name, value in of_request.items()}
    columns |= {name: [_text(body.get(name))] * rows for name in ("model", "system_fingerprint")}
    return Rows(rows, columns, about={"id": _text(body.get("id"))})


def _parameters(body: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Single values of a request; those of an object in it, such as `metadata`, by dotted names."""
    for name, value in body.items():
        if name in _ELSEWHERE or name.startswith("\0") or len(name) > LONGEST_PREFIX:
            continue
        if isinstance(value, dict):
            for below, one in value.items():
                if not isinstance(one, dict | list) and len(below) <= LONGEST_PREFIX:
                    yield f"{name}.{below}", one
        elif not isinstance(value, list):
            yield name, value


def _conversation(messages: object) -> dict[str, Sequence[object]]:
    """The texts of a chat: all of it, the system's, and what the user said last."""
    if not isinstance(messages, list):
        raise Rejected("malformed")
    texts: list[str] = []
    system: list[str] = []
    user: str | None = None
    for message in messages:
        role = an_object(message).get("role")
        found = _texts_of(message.get("content"))
        texts += found
        if role in ("system", "developer"):
            system += found
        elif role == "user":
            user = "\n".join(found)
    return {
        "prompt": ["\n".join(texts)],
        "system": ["\n".join(system) or None],
        "user": [user],
        "messages": [len(messages)],
    }


def _prompts(prompt: object) -> list[object]:
    """The texts of a completion's prompts; None for one that is tokens."""
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list) or not prompt:
        raise Rejected("malformed")
    if all(_is_whole(token) for token in prompt):
        return [None]
    if len(prompt) > MOST_ANSWERS:
        raise Rejected("too_large")
    return [one if isinstance(one, str) else None for one in prompt]


def _texts_of(content: object) -> list[str]:
    """The texts of a content, which is one or a list of parts, images among them."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return [text for text in parts if isinstance(text, str)]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _numbers(prefix: str, value: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Of usage; details of it are a level below."""
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        if _is_whole(value.get(name)):
            yield f"{prefix}.{name}", value[name]
    for name in ("prompt_tokens_details", "completion_tokens_details"):
        details = value.get(name)
        for below in ("cached_tokens", "reasoning_tokens"):
            if isinstance(details, dict) and _is_whole(details.get(below)):
                yield f"{prefix}.{name}.{below}", details[below]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

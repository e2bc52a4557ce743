"""Completions: what is counted of them, their bounds, and that no body breaks anything."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.batch import PREDICTION, Batch, Field
from ml_exporter.config import completions
from ml_exporter.formats.exchanges import Exchange, Rows
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols import openai, reader
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import REASONS, Layout
from ml_exporter.formats.tabulation import Tabulator

LAYOUT = Layout(
    {
        PREDICTION: "finish_reason",
        Field("feature", "prompt"): "prompt",
        Field("feature", "answer"): "outputs.answer",
        **{
            Field("completion", name): completions.COUNTED[name]
            for name in ("input_tokens", "output_tokens", "is_counted", "first", "duration")
        },
    }
)
EVENTS = "text/event-stream; charset=utf-8"
REQUEST: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "stream": True}


def decode(request: bytes, response: bytes, content_type: str = "") -> tuple[Batch, Rejections]:
    one = Exchange(
        *(None, 1.5e9, Message(request), Message(response, content_type)),
        duration=2.0,
        first=0.5,
    )
    rejected = Rejections()
    try:
        invocations = [reader("openai", LAYOUT)(one)]
    except Rejected as rejection:
        rejected[rejection.reason] += rejection.rows
        invocations = []
    decoded = Tabulator(LAYOUT).decode(invocations, rejected, 0)
    return decoded.batch, decoded.rejected


def stream(*chunks: object) -> bytes:
    texts = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return "".join(f"data: {text}\n\n" for text in [*texts, "[DONE]"]).encode()


def delta(index: int = 0, **delta: object) -> dict[str, object]:
    return {"choices": [{"index": index, "delta": delta}]}


def of_request(batch: Batch) -> dict[str, list[object]]:
    return {
        key.name: list(column.values)
        for key, column in batch.fields.items()
        if key.role == "completion"
    }


def test_a_stream_without_usage_is_counted_by_what_is_new_in_it() -> None:
    chunks = [
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm"),
        *(delta(content=text) for text in ("Good", " ", "day")),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "{"}}]),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    batch, rejected = decode(json.dumps(REQUEST).encode(), stream(*chunks), EVENTS)
    assert not rejected
    assert batch.fields[Field("feature", "answer")].values == ["Good day"]
    assert of_request(batch) == {
        **{"input_tokens": [None], "output_tokens": [5], "is_counted": [1]},
        **{"first": [0.5], "duration": [2.0]},
    }


def test_what_is_of_the_request_is_counted_once() -> None:
    answers = [{"index": n, "message": {"content": "x"}} for n in range(3)]
    usage = {"prompt_tokens": 7, "completion_tokens": 9}
    body = json.dumps({"choices": answers, "usage": usage}).encode()
    batch, _ = decode(json.dumps(REQUEST).encode(), body)
    assert batch.fields[Field("feature", "prompt")].values == ["Hello"] * 3
    assert of_request(batch) == {
        "input_tokens": [7, None, None],
        "output_tokens": [9, None, None],
        "is_counted": [0, None, None],
        "first": [0.5, None, None],
        "duration": [2.0, None, None],
    }


@pytest.mark.parametrize("usage", [None, 3, {"prompt_tokens": True, "completion_tokens": "9"}])
def test_usage_that_is_none(usage: object) -> None:
    body = json.dumps({"choices": [{"message": {"content": "x"}}], "usage": usage}).encode()
    batch, _ = decode(json.dumps(REQUEST).encode(), body)
    found = of_request(batch)
    assert (found["output_tokens"], found["is_counted"]) == ([None], [1])


@pytest.mark.parametrize(
    ("request_", "response", "reason"),
    [
        ({"messages": 1}, {"choices": []}, "malformed"),
        ({"messages": ["Hello"]}, {"choices": []}, "malformed"),
        ({"prompt": []}, {"choices": [{"text": ""}]}, "malformed"),
        ({"prompt": ["a"] * 1001}, {"choices": [{"text": ""}]}, "too_large"),
        ({"prompt": ["a", "b"], "n": 501}, {"choices": [{"text": ""}]}, "too_large"),
        ({"prompt": ["a", "b"]}, {"choices": [{"text": ""}]}, "ragged_row"),
        ({**REQUEST, **{f"p{n}": n for n in range(501)}}, {"choices": [{}]}, "too_large"),
        (REQUEST, {"choices": [{"index": -1}]}, "malformed"),
        (REQUEST, {"choices": [{"index": 1000}]}, "too_large"),
        (REQUEST, {"choices": [{"index": True}]}, "malformed"),
        (REQUEST, {"choices": 5}, "malformed"),
        (REQUEST, {"choices": []}, "malformed"),
        (REQUEST, {"choices": [{"message": "Hi"}]}, "malformed"),
        (REQUEST, stream(), "malformed"),
        (REQUEST, stream("{"), "malformed"),
        (REQUEST, stream({"choices": 5}), "malformed"),
        (REQUEST, stream(delta(1000)), "too_large"),
        (REQUEST, stream("[" * 100_000), "too_deep"),
        (REQUEST, b"data: \xff\n\n", "encoding"),
        (REQUEST, b"\n" * (openai.MOST_LINES + 2), "too_large"),
    ],
)
def test_what_is_rejected(request_: object, response: object, reason: str) -> None:
    is_stream = isinstance(response, bytes)
    body = response if isinstance(response, bytes) else json.dumps(response).encode()
    batch, rejected = decode(json.dumps(request_).encode(), body, EVENTS if is_stream else "")
    assert batch.rows == 0
    assert set(rejected) == {reason}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["stop", "user", "\0input tokens"]),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("choices", "delta", "message", "content", "text", "index", "usage", "role"),
                    *("tool_calls", "finish_reason", "prompt_tokens", "completion_tokens", "model"),
                    *("completion_tokens_details", "reasoning_tokens", "error", "id", "n", "tools"),
                    *("messages", "prompt", "metadata", "\0input tokens", "max_tokens", "refusal"),
                ]
            ),
            below,
            max_size=5,
        )
    ),
    max_leaves=20,
)
CHOICES = st.fixed_dictionaries(
    {"choices": st.lists(VALUES, max_size=3) | VALUES},
    optional={"usage": VALUES, "id": VALUES, "model": VALUES},
)
REQUESTS = VALUES | st.fixed_dictionaries(
    {}, optional={"messages": VALUES, "prompt": VALUES, "n": VALUES, "metadata": VALUES}
)


@given(REQUESTS, st.lists(CHOICES | VALUES, max_size=4), st.booleans(), st.binary(max_size=20))
def test_no_body_breaks_anything(
    request: object, chunks: list[object], streams: bool, junk: bytes
) -> None:
    response = stream(*chunks) + junk if streams else json.dumps(chunks[:1]).encode()[1:-1]
    content_type = EVENTS if streams else ""
    batch, rejected = decode(json.dumps(request).encode(), response, content_type)
    assert set(rejected) <= set(REASONS)
    assert all(len(column) == batch.rows for column in batch.fields.values())
    for column in batch.fields.values():
        assert column.numbers.values.size == len(column.categories.of_rows) == batch.rows


@given(st.binary(max_size=400))
def test_no_bytes_break_anything(data: bytes) -> None:
    for content_type in (EVENTS, ""):
        batch, rejected = decode(data, data, content_type)
        assert batch.rows == 0
        assert set(rejected) <= set(REASONS)


def test_an_event_stream_is_known_by_what_it_says_or_looks_like() -> None:
    text = stream(delta(content="Hi"))
    for message in (Message(text, EVENTS), Message(text), Message(b"\xef\xbb\xbf: hi\n\n" + text)):
        side = openai.outputs(message)
        assert isinstance(side, Rows)
        assert side.columns["answer"] == ["Hi"]

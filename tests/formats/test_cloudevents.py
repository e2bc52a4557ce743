"""Events in pairs, as payload loggers send them, and events that are rows."""

from __future__ import annotations

import base64
import json
import random
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_exporter.batch import LABEL, PREDICTION, Batch, Field
from ml_exporter.formats import Layout
from ml_exporter.formats.cloudevents import CloudEvents
from ml_exporter.formats.pairing import Memory, Pairing
from ml_exporter.formats.rows import REASONS
from tests.formats.feeding import cut, feed
from tests.support import ROOT

KSERVE = "org.kubeflow.serving.inference."
SELDON = "io.seldon.serving.inference."
AT = "2026-03-01T12:00:00Z"
SECONDS = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
AGE, COUNTRY = Field("feature", "age"), Field("feature", "country")

LAYOUT = Layout({PREDICTION: "prediction", AGE: "age", COUNTRY: "country"}, id="request_id")


def event(type: str, id: str | None, data: Any, **attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "type": type, "source": "/s", "time": AT} | (
        {"id": id, "datacontenttype": "application/json", "data": data} | attributes
    )


def kserve(side: str, id: str | None, data: Any, **attributes: Any) -> dict[str, Any]:
    return event(KSERVE + side, id, data, inferenceservicename="credit", **attributes)


def pair(id: str, ages: list[int], outputs: list[int]) -> list[dict[str, Any]]:
    """What KServe logs of one invocation."""
    instances = [{"age": age, "country": "DE"} for age in ages]
    return [
        kserve("request", id, {"instances": instances}),
        kserve("response", id, {"predictions": outputs}),
    ]


def row(id: str | None, /, **data: Any) -> dict[str, Any]:
    return event("com.example.prediction", id, data)


def lines(*events: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


def decode(data: bytes, layout: Layout = LAYOUT) -> tuple[Batch, Counter[str]]:
    decoded = CloudEvents(layout).decode(data, end=True)
    assert decoded.consumed == len(data)
    return decoded.batch, decoded.rejected


def values(batch: Batch) -> dict[str, list[object]]:
    return {key.name: list(column.values) for key, column in batch.fields.items()}


class TestPairs:
    @pytest.mark.parametrize("order", [1, -1])
    def test_are_predictions_whichever_half_is_first(self, order: int) -> None:
        batch, rejected = decode(lines(*pair("4a9c", [31, 40], [0, 1])[::order]))
        assert values(batch) == {"prediction": [0, 1], "age": [31, 40], "country": ["DE", "DE"]}
        assert batch.ids == ["4a9c/0", "4a9c/1"]
        assert batch.timestamps is not None
        assert batch.timestamps.tolist() == [SECONDS, SECONDS]
        assert not rejected

    def test_are_as_old_as_their_requests(self) -> None:
        request, response = pair("1", [31], [0])
        response["time"] = "2026-03-01T12:00:09Z"
        batch, _ = decode(lines(response, request))
        assert batch.timestamps is not None
        assert batch.timestamps.tolist() == [SECONDS]

    @pytest.mark.parametrize("digits", [0, 3, 6, 7, 8, 9])
    def test_have_times_as_go_writes_them(self, digits: int) -> None:
        request, response = pair("1", [31], [0])
        request["time"] = f"2026-03-01T12:00:00{'.' * bool(digits)}{'0' * digits}Z"
        batch, rejected = decode(lines(request, response))
        assert batch.timestamps is not None
        assert (batch.timestamps.tolist(), rejected) == ([SECONDS], {})

    def test_of_seldon_have_a_request_id(self) -> None:
        request = {"data": {"names": ["age", "country"], "ndarray": [[31, "FR"]]}}
        response = {"data": {"names": ["prediction"], "ndarray": [[1]]}}
        batch, rejected = decode(
            lines(
                event(SELDON + "response", "b", response, requestid="r1", modelid="credit"),
                event(SELDON + "request", None, request, requestid="r1", modelid="credit"),
                event(SELDON + "request", "c", request, modelid="credit"),
            )
        )
        assert values(batch) == {"prediction": [1], "age": [31], "country": ["FR"]}
        assert batch.ids == ["r1"]
        assert rejected == {"no_id": 1}

    def test_are_of_one_part_of_a_service(self) -> None:
        """A transformer passes the id on to its predictor, and both log."""
        transformed = [{**one, "component": "transformer"} for one in pair("1", [31], [0])]
        predicted = [{**one, "component": "predictor"} for one in pair("1", [40], [1])]
        for order in ([0, 2, 3, 1], [1, 3, 0, 2], [3, 0, 1, 2]):
            four = [*transformed, *predicted]
            batch, _ = decode(lines(*(four[number] for number in order)))
            rows = zip(values(batch)["age"], values(batch)["prediction"], strict=True)
            assert sorted(rows) == [(31, 0), (40, 1)]

    def test_may_be_of_binary_tensors(self) -> None:
        """Open Inference Protocol, where the logger was told to keep the header of the length."""
        head = {"inputs": [{"name": "age", "shape": [2], "datatype": "FP32",
                            "parameters": {"binary_data_size": 8}}]}  # fmt: skip
        text = json.dumps(head).encode()
        body = text + b"\0\0\xf8\x41\0\0\x20\x42"
        request = kserve("request", "1", None, datacontenttype="application/octet-stream")
        del request["data"]
        request["data_base64"] = base64.b64encode(body).decode()
        request["metadata"] = json.dumps({"Inference-Header-Content-Length": [str(len(text))]})
        outputs = {"outputs": [{"name": "y", "shape": [2], "datatype": "INT64", "data": [0, 1]}]}
        batch, rejected = decode(lines(request, kserve("response", "1", outputs)))
        assert values(batch)["age"] == [31.0, 40.0]
        assert values(batch)["prediction"] == [0, 1]
        assert not rejected

    def test_may_be_records_of_the_blob_store(self) -> None:
        """One record is an object, several are an array."""
        records = [
            {
                "id": "1",
                "reqType": one["type"],
                "bytes": base64.b64encode(json.dumps(one["data"]).encode()).decode(),
                "contentType": "application/json",
                "inferenceService": "credit",
                "occurrenceTime": AT,
            }
            for one in pair("1", [31], [0])
        ]
        for data in (lines(*records), lines(records)):
            batch, rejected = decode(data)
            assert (values(batch)["age"], batch.ids, rejected) == ([31], ["1"], {})

    def test_that_cannot_be_used_cost_no_others(self) -> None:
        ragged = pair("1", [31, 40], [0])
        request, _ = pair("2", [31], [0])
        no_json = kserve("response", "2", "x", datacontenttype="text/plain")
        batch, rejected = decode(lines(*ragged, request, no_json, *pair("3", [50], [1])))
        assert values(batch)["age"] == [50]
        assert rejected == {"ragged_row": 2, "malformed": 1}

    def test_are_counted_once_however_often_they_are_sent(self) -> None:
        batch, rejected = decode(lines(*pair("1", [31], [0]), *pair("1", [31], [0])))
        assert batch.rows == 1
        assert rejected == {"no_id": 2}


class TestHalvesThatWait:
    def test_are_found_by_another_decoder(self) -> None:
        request, response = pair("1", [31], [0])
        store = Memory()
        for data, rows in ((request, 0), (response, 1)):
            decoder = CloudEvents(LAYOUT, Pairing(store))
            for _ in range(2):  # until it is settled it may be repeated
                decoded = decoder.decode(lines(data), end=False)
                assert decoded.batch.rows == rows
            assert decoded.settle is not None
            decoded.settle()

    def test_too_long_have_no_fields(self) -> None:
        now = 1e9
        pairing = Pairing(Memory(), lambda: now)
        decoder = CloudEvents(LAYOUT, pairing)
        for number in range(3):
            decoded = decoder.decode(lines(pair(str(number), [31], [0])[number % 2]), end=False)
            assert not decoded.rejected
            assert decoded.settle is not None
            decoded.settle()
        now += 3600
        assert decoder.decode(lines(row("9", age=1)), end=False).rejected == {"no_fields": 3}


class TestRows:
    def test_have_the_id_and_time_of_their_events(self) -> None:
        batch, rejected = decode(
            lines(row("e1", age=31, prediction=1), row("e2", request_id="own", age=40))
        )
        assert batch.ids == ["e1", "own"]
        assert values(batch)["age"] == [31, 40]
        assert batch.timestamps is not None
        assert batch.timestamps.tolist() == [SECONDS, SECONDS]
        assert (rejected, batch.extra) == ({}, {})

    @pytest.mark.parametrize(("id", "time"), [("meta.id", "meta.ts"), ("id", "ts")])
    def test_have_their_own_where_they_have_them(self, id: str, time: str) -> None:
        layout = Layout({AGE: "age"}, id=id, timestamp=time)
        own = row("e", age=31, id="own", ts=5, meta={"id": "own", "ts": 5})
        batch, _ = decode(lines(own, row("e", age=40), row("f", age=50, meta={})), layout)
        assert batch.ids == ["own", "e", "f"]
        assert batch.timestamps is not None
        assert batch.timestamps.tolist() == [5.0, SECONDS, SECONDS]

    def test_are_discovered(self) -> None:
        layout = Layout({PREDICTION: "prediction"}, discover=True)
        batch, _ = decode(lines(row("1", age=31, nested={"x": 1}), row("2", prediction=1)), layout)
        assert sorted(values(batch)) == ["age", "nested.x", "prediction"]

    def test_may_be_labels(self) -> None:
        layout = Layout({LABEL: "actual"}, id="id")
        batch, _ = decode(lines(row("e1", actual="a")), layout)
        assert (values(batch), batch.ids) == ({"label": ["a"]}, ["e1"])

    def test_may_stand_between_pairs(self) -> None:
        first, second = pair("1", [31], [0])
        batch, rejected = decode(lines(first, row("2", age=40, surprise=1), second))
        assert values(batch)["age"] == [31, 40]
        assert batch.ids == ["1", "2"]
        assert batch.timestamps is not None
        assert batch.timestamps.tolist() == [SECONDS, SECONDS]
        assert {name: mask.tolist() for name, mask in batch.extra.items()} == {
            "surprise": [False, True]
        }
        assert not rejected

    def test_with_line_ends_and_nan_are_rows(self) -> None:
        text = (
            b'{"specversion":"1.0","type":"t","source":"/","id":"1",'
            b'"data":{"age":NaN,"country":"DE"}}\r\n'
        )
        batch, rejected = decode(text)
        assert batch.fields[AGE].numbers.invalid == 1
        assert (batch.ids, rejected) == (["1"], {})


@pytest.mark.parametrize(
    ("text", "rejected"),
    [
        (lines(row(None, age=31)), {"no_id": 1}),
        (lines(row("", age=31)), {"no_id": 1}),
        (lines(kserve("request", None, {})), {"no_id": 1}),
        (lines(row("1", unknown=1)), {"no_fields": 1}),
        (lines(event("t", "1", None)), {"malformed": 1}),
        (lines(event("t", "1", [{"age": 31}])), {"malformed": 1}),
        (lines(event("t", "1", "age=31", datacontenttype="text/plain")), {"malformed": 1}),
        (lines({"specversion": "1.0", "type": "t", "id": "1"}), {"no_fields": 1}),
        (lines(event("io.seldon.serving.feedback", "1", {"age": 31})), {"no_fields": 1}),
        (lines({"age": 31}), {"malformed": 1}),
        (lines([5, row("1", age=31), []]), {"malformed": 2}),
        (lines([]), {}),
        (b"[1, 2\n", {"malformed": 1}),
        (b"\n \r\n", {}),
        (b"foo\n" + lines(row("1", age=31)) + b'{"specversion"', {"malformed": 1, "truncated": 1}),
        (b"[" + lines(row("1", age=31))[:-3], {"truncated": 1}),
        (b"[" * 100_000 + b"\n", {"too_deep": 1}),
        (lines(row("1", age="x" * (1 << 20))), {"too_large": 1}),
        (b'{"specversion":"1.0","type":"t","id":"\xff"}\n', {"encoding": 1}),
    ],
)
def test_what_is_rejected(text: bytes, rejected: dict[str, int]) -> None:
    assert decode(text)[1] == rejected


def test_the_page_shows_a_pair() -> None:
    page = (ROOT / "docs/formats/cloudevents.md").read_text()
    (example,) = re.findall(r"^```json\n(.*?)^```", page, re.M | re.S)
    batch, rejected = decode(example.encode())
    assert values(batch) == {"prediction": [1], "age": [31], "country": ["DE"]}
    assert not rejected


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 6000), max_size=4))
def test_how_a_log_is_cut_makes_no_difference(seed: int, places: list[int]) -> None:
    events = [one for number in range(6) for one in pair(str(number), [number], [number % 2])]
    events += [row(f"r{number}", age=number) for number in range(3)]
    random.Random(seed).shuffle(events)
    data = lines(*events)

    class Settling(CloudEvents):
        def decode(self, data: bytes, end: bool) -> Any:
            decoded = super().decode(data, end)
            assert decoded.settle is not None
            decoded.settle()
            return decoded

    whole, rejected = feed(CloudEvents(LAYOUT), [data])
    in_pieces, also_rejected = feed(Settling(LAYOUT), cut(data, places))
    assert sorted(in_pieces) == sorted(whole)
    assert len(whole) == 9
    assert +rejected == +also_rejected == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
TYPES = st.sampled_from(
    [f"{maker}{side}" for maker in (KSERVE, SELDON) for side in ("request", "response")] + ["t"]
)
EVENTS = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "type": TYPES},
    optional={
        "id": st.sampled_from(["1", "2"]) | JSON,
        "requestid": st.sampled_from(["1", "2"]) | JSON,
        "time": st.just(AT) | JSON,
        "datacontenttype": st.sampled_from(["application/json", "text/plain"]) | JSON,
        "data": st.fixed_dictionaries({}, optional={"instances": JSON, "predictions": JSON}) | JSON,
        "data_base64": st.sampled_from(["e30=", "?"]) | JSON,
        "metadata": JSON,
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS | JSON | st.binary(max_size=9), max_size=8))
def test_whatever_it_is_is_decoded_or_rejected(items: list[Any]) -> None:
    written = [
        one if isinstance(one, bytes) else json.dumps(one).encode("utf-8", "replace")
        for one in items
    ]
    data = b"".join(one.replace(b"\n", b" ") + b"\n" for one in written)
    batch, rejected = decode(data)
    assert set(rejected) <= set(REASONS)
    assert all(len(column) == batch.rows for column in batch.fields.values())
    assert batch.ids is not None
    assert len(batch.ids) == batch.rows

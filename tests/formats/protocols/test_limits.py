"""A body of a megabyte takes no more time and room than a body of a megabyte may."""

import gzip
import json
from collections import Counter

import pytest

from ml_exporter.batch import PREDICTION, Field
from ml_exporter.formats import Layout, decoder
from ml_exporter.formats.exchanges import LONGEST_PREFIX, MOST_COLUMNS, NO_TABLE, Invocation, Rows
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.tabulation import Tabulator

KNOWN = Layout({Field("feature", "a"): "a", PREDICTION: "prediction"})
DISCOVERED = Layout({PREDICTION: "response.p"}, discover=True)
LONG = "n" * (LONGEST_PREFIX + 1)


def tensor(shape, data, **more):
    return {"name": "t", "shape": shape, "datatype": "FP32", "data": data, **more}


def exchange(request, response=None):
    return json.dumps({"id": "1", "request": request, "response": response}).encode()


@pytest.mark.parametrize(
    ("format", "layout", "request_"),
    [
        ("kserve-v1", KNOWN, {"instances": [{f"k{n}": n for n in range(MOST_COLUMNS + 1)}]}),
        (
            "open-inference",
            KNOWN,
            {"inputs": [tensor([0, 1000], [], name=f"t{n}") for n in range(100)]},
        ),
        ("json", DISCOVERED, {"list": [{f"k{n}": 1} for n in range(9_000)]}),
        ("json", DISCOVERED, {f"k{n}": 1 for n in range(MOST_COLUMNS + 1)}),
    ],
    ids=["many keys", "many empty tensors", "a key in each row", "many leaves"],
)
def test_too_many_columns_are_rejected(format, layout, request_) -> None:
    decoded = decoder(format, layout).decode(exchange(request_) + b"\n", True)
    assert decoded.batch.rows == 0
    assert decoded.rejected.keys() == {"too_large"}


@pytest.mark.parametrize(
    ("format", "layout", "request_"),
    [
        ("kserve-v1", KNOWN, {"instances": [{LONG: {"a": 1, "b": 2}}]}),
        ("kserve-v1", KNOWN, {"instances": [{LONG: [1, 2]}]}),
        ("tensorflow-serving", KNOWN, {"inputs": {LONG: [[1, 2]]}}),
        ("open-inference", KNOWN, {"inputs": [tensor([1, 2], [1, 2], name=LONG)]}),
        ("json", DISCOVERED, {LONG: {"a": 1, "b": 2}}),
        ("json", DISCOVERED, {LONG: [{"a": 1, "b": 2}]}),
    ],
    ids=["objects", "vectors", "columns", "tensors", "leaves", "rows of leaves"],
)
def test_no_long_name_is_repeated(format, layout, request_) -> None:
    decoded = decoder(format, layout).decode(exchange(request_) + b"\n", True)
    assert decoded.rejected == {"too_large": 1}


def test_a_long_name_that_is_not_repeated() -> None:
    request, answer = {"instances": [{LONG: 1}]}, {"predictions": [0.5]}
    decoded = decoder("kserve-v1", KNOWN).decode(exchange(request, answer), True)
    assert (decoded.batch.rows, decoded.rejected) == (1, Counter())


@pytest.mark.parametrize(
    ("instances", "ids", "rejected"),
    [([1], [LONG], {}), ([1, 2], [], {"no_id": 2})],
)
def test_no_long_id_is_repeated(instances, ids, rejected) -> None:
    layout = Layout(KNOWN.fields, id="id")
    line = json.dumps({"id": LONG, "request": {"instances": instances}}).encode()
    decoded = decoder("kserve-v1", layout).decode(line, True)
    assert (decoded.batch.ids, decoded.rejected) == (ids, rejected)


@pytest.mark.parametrize(("length", "kept"), [(1, 6), (2_000, 2), (9_000, 1)])
def test_names_of_shapes_are_remembered_up_to_a_length(length: int, kept: int) -> None:
    tabulator = Tabulator(KNOWN)
    for shape in range(6):
        names = [f"{shape}.{n}".ljust(length, "x") for n in range(500)]
        inputs = Rows(1, {"a": [1], **{name: [1] for name in names}})
        one = Invocation(None, None, None, inputs, NO_TABLE)
        assert tabulator.decode([one], Rejections(), 0).batch.rows == 1
    assert len(tabulator._plans) == kept


def test_a_wide_tensor_is_one_column() -> None:
    image = {"inputs": [tensor([1, 12_000], [0] * 12_000)]}
    answer = {"outputs": [tensor([1], [0.5])]}
    decoded = decoder("open-inference", KNOWN).decode(exchange(image, answer), True)
    assert (decoded.batch.rows, decoded.rejected) == (1, Counter())


@pytest.mark.parametrize(("codings", "fits"), [(4, True), (5, False)])
def test_codings_one_after_the_other(codings: int, fits: bool) -> None:
    body = b'{"a": 1}'
    for _ in range(codings):
        body = gzip.compress(body)
    message = Message(body, content_encoding=",".join(["gzip"] * codings))
    if fits:
        assert message.json == {"a": 1}
    else:
        with pytest.raises(Rejected, match="encoding"):
            _ = message.content


def test_what_follows_the_last_tensor_is_malformed() -> None:
    text = json.dumps({"inputs": [tensor([1], [1])]}) + "junk"
    line = json.dumps({"request": text, "response": {"outputs": [tensor([1], [0.5])]}})
    decoded = decoder("open-inference", KNOWN).decode(line.encode(), True)
    assert decoded.rejected == {"malformed": 1}


@pytest.mark.parametrize(
    "tensor",
    [
        {"tensorShape": {"dim": [{"size": float("inf")}]}, "doubleVal": [1]},
        {"tensorShape": {"dim": [{"size": 1}]}, "int64Val": [float("inf")]},
    ],
)
def test_infinite_sizes_and_integers_are_malformed(tensor):
    decoded = decoder("seldon", KNOWN).decode(exchange({"data": {"tftensor": tensor}}), True)
    assert decoded.rejected == {"malformed": 1}


def test_a_puid_is_the_exchanges_id() -> None:
    layout = Layout({PREDICTION: "prediction"}, id="request_id")
    body = {"meta": {"puid": "42"}, "data": {"ndarray": [0.5]}}
    line = json.dumps({"request": {"data": {"ndarray": [[1, 2]]}}, "response": body})
    assert decoder("seldon", layout).decode(line.encode(), True).batch.ids == ["42"]


def test_an_id_in_the_body_is_the_exchanges() -> None:
    layout = Layout({PREDICTION: "prediction"}, id="request_id")
    body = {"id": "42", "outputs": [tensor([1], [0.5])]}
    line = json.dumps({"request": {"id": "42", "inputs": [tensor([1], [1])]}, "response": body})
    assert decoder("open-inference", layout).decode(line.encode(), True).batch.ids == ["42"]

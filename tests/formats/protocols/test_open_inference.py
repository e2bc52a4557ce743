import json
import struct

import pytest

from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols import open_inference
from ml_exporter.formats.rows import MOST_FEATURES


def request(*tensors, tail=b"", headers=True):
    head = json.dumps({"inputs": tensors}).encode()
    return Message(head + tail, json_length=len(head) if headers else None)


def tensor(shape, datatype="FP32", size=None, name="x", **more):
    parameters = {} if size is None else {"parameters": {"binary_data_size": size}}
    return {"name": name, "shape": shape, "datatype": datatype, **parameters, **more}


def columns(message):
    return {name: list(values) for name, values in open_inference.inputs(message).columns.items()}


@pytest.mark.parametrize(
    ("datatype", "values", "packed"),
    [
        ("BOOL", [True, False], b"\x01\x00"),
        ("UINT8", [1, 255], b"\x01\xff"),
        ("UINT16", [1, 65535], struct.pack("<2H", 1, 65535)),
        ("UINT32", [1, 2**32 - 1], struct.pack("<2I", 1, 2**32 - 1)),
        ("UINT64", [1, 2**64 - 1], struct.pack("<2Q", 1, 2**64 - 1)),
        ("INT8", [-1, 127], b"\xff\x7f"),
        ("INT16", [-1, 2], struct.pack("<2h", -1, 2)),
        ("INT32", [-1, 2], struct.pack("<2i", -1, 2)),
        ("INT64", [-1, 2**62], struct.pack("<2q", -1, 2**62)),
        ("FP16", [0.5, -2.0], struct.pack("<2e", 0.5, -2)),
        ("FP32", [0.5, -2.0], struct.pack("<2f", 0.5, -2)),
        ("FP64", [0.1, -2.0], struct.pack("<2d", 0.1, -2)),
        ("BF16", [1.5, -2.0], b"\xc0\x3f\x00\xc0"),
        (
            "BYTES",
            ["hé", b"\xff"],
            struct.pack("<I", 3) + "hé".encode() + struct.pack("<I", 1) + b"\xff",
        ),
    ],
)
@pytest.mark.parametrize("headers", [True, False])
def test_binary_tensors(datatype, values, packed, headers):
    given = request(tensor([2], datatype, len(packed)), tail=packed, headers=headers)
    found = columns(given)["x"]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("shape", "data", "expected"),
    [
        ([3], [1, 2, 3], {"x": [1, 2, 3]}),
        ([3, 1], [[1], [2], [3]], {"x": [1, 2, 3]}),
        ([2, 2], [1, 2, 3, 4], {"x.0": [1, 3], "x.1": [2, 4]}),
        ([2, 2], [[1, 2], [3, 4]], {"x.0": [1, 3], "x.1": [2, 4]}),
        ([2, 1, 2], [[[1, 2]], [[3, 4]]], {"x.0": [1, 3], "x.1": [2, 4]}),
        ([], [7], {"x": [7]}),
        ([0, 4], [], {"x.0": [], "x.1": [], "x.2": [], "x.3": []}),
    ],
)
def test_shapes(shape, data, expected):
    assert columns(request(tensor(shape, data=data))) == expected


def test_a_wide_tensor_is_a_value_a_row():
    width = MOST_FEATURES + 1
    packed = bytes(2 * width)
    expected = {"x": [[0] * width] * 2}
    assert columns(request(tensor([2, width], data=[0] * 2 * width))) == expected
    assert columns(request(tensor([2, width], "UINT8", len(packed)), tail=packed)) == expected


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(Message(b'{"inputs": 1}'), "malformed", id="no tensors"),
        pytest.param(Message(b'{"inputs": [1]}'), "malformed", id="no tensor"),
        pytest.param(request({"name": "x"}), "malformed", id="no shape"),
        pytest.param(request(tensor([2])), "malformed", id="no data"),
        pytest.param(request(tensor([2], data=[1])), "malformed", id="too few values"),
        pytest.param(request(tensor([2], data=[1, [2]])), "malformed", id="ragged data"),
        pytest.param(request(tensor([1], data=[{"a": 1}])), "malformed", id="objects"),
        pytest.param(request(tensor([-1], data=[])), "malformed", id="a negative size"),
        pytest.param(request(tensor([True], data=[1])), "malformed", id="a size that is no number"),
        pytest.param(request(tensor([10**18] * 32, data=[])), "malformed", id="huge sizes"),
        pytest.param(request(tensor([2] * 10**5, data=[])), "malformed", id="many dimensions"),
        pytest.param(request(tensor([10**5, 10**5], data=[])), "too_large", id="huge"),
        pytest.param(request(tensor([10**6], data=[])), "too_large", id="many rows"),
        pytest.param(request(tensor([2], "FP32", 8), tail=b"1234"), "malformed", id="cut short"),
        pytest.param(
            request(tensor([2], "FP31", 8), tail=b"12345678"), "malformed", id="a datatype"
        ),
        pytest.param(request(tensor([2], "FP32", -8)), "malformed", id="a negative length"),
        pytest.param(
            request(tensor([1], "BYTES", 3), tail=b"123"), "malformed", id="half a length"
        ),
        pytest.param(
            request(tensor([1], "BYTES", 6), tail=b"\xff\xff\xff\xff12"),
            "malformed",
            id="a long text",
        ),
        pytest.param(Message(b"{}", json_length=3), "malformed", id="longer than the body"),
        pytest.param(Message(b"{}", json_length=-1), "malformed", id="a negative JSON"),
        pytest.param(Message(b"\xff{}"), "encoding", id="no JSON at all"),
        pytest.param(
            request(tensor([1], data=[1]), tensor([2], data=[1, 2], name="y")),
            "ragged_row",
            id="rows",
        ),
    ],
)
def test_what_is_rejected(message, reason):
    with pytest.raises(Rejected, match=reason):
        open_inference.inputs(message)

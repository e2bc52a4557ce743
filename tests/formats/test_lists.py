"""Rows that Python reads alone are those that the scanner reads."""

import pytest

from ml_exporter.batch import PREDICTION, Field
from ml_exporter.formats import csv, jsonl
from ml_exporter.formats.lists import Lists, shape
from ml_exporter.formats.rows import Layout
from tests.formats.test_scanner import LAYOUT, plain

OF_TABLES = Layout(
    {PREDICTION: "p", Field("feature", "a"): "a", Field("feature", "absent"): "z"}, known={"p", "a"}
)
LOGS = {
    "jsonl": [
        b'{"p": "x", "in": {"a": 1.5}, "list": [1, "2"], "new": 1}\n{"p": "y", "a": null}\n',
        b'{"p": true, "in.a": 2, "other": {"b": 1}}\n\n{broken\n{"a": NaN, "list": {}}\n[]\n{}\n',
        b'{"p": "\\u00e9", "a": 1e400, "in": [3]}\n{"p": "x", "in": {"b": {"c": "t"}, "k": 0}}',
    ],
    "csv": [
        b"p,a,new\nx,1.5,k\ny,,\n",
        b'"quoted, ""once""",1e3,k\nragged\nx,"two\nlines",k\n\xff,2,k\n',
        b"x,NaN,k\ny,<2,k\nx,1",
    ],
}


@pytest.mark.parametrize("format", LOGS)
def test_rows_are_the_same(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoder() -> jsonl.JsonLines | csv.Csv:
        return jsonl.JsonLines(LAYOUT) if format == "jsonl" else csv.Csv(OF_TABLES, ",")

    scanning = decoder()
    of_scanner = [scanning.decode(log, end=True) for log in LOGS[format]]
    monkeypatch.setattr(csv, "Slots", Lists)
    monkeypatch.setattr(jsonl, "Slots", Lists)
    monkeypatch.setattr(jsonl, "shape", shape)
    reading = decoder()
    for scanned, log in zip(of_scanner, LOGS[format], strict=True):
        read = reading.decode(log, end=True)
        assert (read.rejected, read.consumed) == (scanned.rejected, scanned.consumed)
        assert read.batch.rows == scanned.batch.rows > 0
        for key, column in scanned.batch.fields.items():
            assert plain(read.batch.fields[key]) == plain(column)
        extra = [
            {name: mask.tolist() for name, mask in one.batch.extra.items()}
            for one in (read, scanned)
        ]
        assert extra[0] == extra[1]

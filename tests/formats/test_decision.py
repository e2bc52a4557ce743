"""The class is the one that scores speak for."""

import pytest

from ml_exporter.batch import PREDICTION, SCORE, Field
from ml_exporter.formats import Layout, decoder
from ml_exporter.formats.decision import Decision

BINARY = Layout({PREDICTION: "p", SCORE: "p"}, decision=Decision(("0", "1"), binary=True))
CLASSES = ("bird", "cat", "dog")
SCORES = {Field("score", name): f"p.{number}" for number, name in enumerate(CLASSES)}
MULTICLASS = Layout({PREDICTION: "p", **SCORES}, decision=Decision(CLASSES, binary=False))


@pytest.mark.parametrize(
    ("layout", "written", "said"),
    [
        (BINARY, "0.7", "1"),
        (BINARY, "0.5", "1"),
        (BINARY, "0.4999", "0"),
        (BINARY, "null", "<missing>"),
        (BINARY, '"high"', "<missing>"),
        (MULTICLASS, "[0.1, 0.2, 0.7]", "dog"),
        (MULTICLASS, "[0.4, 0.4, 0.2]", "bird"),
        (MULTICLASS, "[-3.5, -1.0, -2.0]", "cat"),
        (MULTICLASS, "[0.1, null, 0.9]", "<missing>"),
        (MULTICLASS, "[0.1]", "<missing>"),
    ],
)
def test_the_likeliest_class_is_the_prediction(layout: Layout, written: str, said: str) -> None:
    batch = decoder("jsonl", layout).decode(b'{"p": %b}\n' % written.encode(), True).batch
    assert batch.fields[PREDICTION].categories.of_rows == [said]


def test_scores_under_a_name_each() -> None:
    fields = {PREDICTION: "s", Field("score", "a"): "s.a", Field("score", "b"): "s.b"}
    layout = Layout(fields, decision=Decision(("a", "b"), binary=False))
    log = b'{"s": {"b": 0.9, "a": 0.1}}\n{"s": {"a": 0.6, "b": 0.4}}\n'
    batch = decoder("jsonl", layout).decode(log, True).batch
    assert batch.fields[PREDICTION].categories.of_rows == ["b", "a"]
    assert batch.extra == {}

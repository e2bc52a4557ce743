"""The first rows of a version, of which its baseline is made."""

from __future__ import annotations

import math

import pytest

from ml_exporter.batch import LABEL, PREDICTION, Batch, Field
from ml_exporter.columns import ABSENT, Column
from ml_exporter.formats import Layout
from ml_exporter.pipeline.learning import dump_rows, learnable, load_rows, without_labels_yet

X, Z = Field("feature", "x"), Field("feature", "z")


def batch(rows: int, **columns: list[object]) -> Batch:
    keys = {"p": PREDICTION, "y": LABEL, "x": X, "z": Z}
    given = {keys[name]: Column(values * (rows // len(values))) for name, values in columns.items()}
    return Batch(rows, {PREDICTION: Column(["a", "b"] * (rows // 2))} | given)


class TestRows:
    @pytest.mark.parametrize(
        "values",
        [
            [1, 2.5, -0.0, 1e300],
            ["a", "", "é\n\0", "<x>"],
            [None, True, ABSENT, ABSENT],
            [{"a": [1]}, [1, None], float("inf"), 2**70],
        ],
    )
    @pytest.mark.parametrize("text", [False, True])
    def test_are_kept_as_they_are(self, values: list[object], text: bool) -> None:
        rows = Batch(4, {X: Column(values, text)})
        again = load_rows(dump_rows(rows))
        assert again == rows
        assert [type(value) for value in again.fields[X].values] == list(map(type, values))

    def test_that_are_not_numbers_are_kept_too(self) -> None:
        (value,) = load_rows(dump_rows(Batch(1, {X: Column([float("nan")])}))).fields[X].values
        assert math.isnan(value)  # type: ignore[arg-type]

    def test_without_labels_yet_have_no_label(self) -> None:
        rows = batch(2, y=[None])
        rows.extra["new"] = [True, False]  # type: ignore[index]
        assert LABEL not in without_labels_yet(rows).fields
        assert without_labels_yet(rows).extra == rows.extra
        labelled = batch(2, y=[None, "a"])
        assert without_labels_yet(labelled) is labelled


class TestLearnable:
    """Rows of several chunks have the same fields in the same order."""

    def fields(self, batches: list[Batch], layout: Layout) -> list[str]:
        found = {tuple(key.name for key in one.fields) for one in learnable(batches, layout)}
        (names,) = found
        return list(names)

    def test_fields_are_those_that_are_read(self) -> None:
        layout = Layout({PREDICTION: "p", X: "x", Z: "z"})
        assert self.fields([batch(2, z=[1]), batch(2, x=[1])], layout) == ["prediction", "x", "z"]

    def test_labels_are_there_if_any_row_has_one(self) -> None:
        layout = Layout({PREDICTION: "p", LABEL: "y", X: "x"})
        none, one = batch(2, y=[None], x=[1]), batch(2, y=[None, "a"], x=[1])
        assert self.fields([none, none], layout) == ["prediction", "x"]
        assert self.fields([none, one], layout) == ["prediction", "label", "x"]

    @pytest.mark.parametrize("turned", [False, True])
    def test_what_is_discovered_is_sorted(self, turned: bool) -> None:
        layout = Layout({PREDICTION: "p"}, discover=True)
        batches = [batch(2, z=[1], x=[ABSENT]), batch(2, x=[1])]
        names = self.fields(batches[::-1] if turned else batches, layout)
        assert names == ["prediction", "x", "z"]

    def test_what_no_row_has_is_left_out(self) -> None:
        layout = Layout({PREDICTION: "p"}, discover=True)
        assert self.fields([batch(2, x=[ABSENT])], layout) == ["prediction"]

    def test_what_is_no_longer_read_is_left_out(self) -> None:
        assert self.fields([batch(2, x=[1])], Layout({PREDICTION: "p"})) == ["prediction"]

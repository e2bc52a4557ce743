"""A field's distribution as it is drawn, and the bins that are said to have moved."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from ml_exporter.judgement.field_explanation import moved_bins
from ml_exporter.judgement.verdicts import FieldVerdict
from ml_exporter.web.drawings import distribution

NUMBER = ("<below>", "1.0", "2.0", "3.0", "<above>", "<missing>", "<invalid>")


def field(bins: Mapping[str, tuple[int, int]]) -> FieldVerdict:
    """By the rows of the baseline, and of now."""
    usual, now = (np.array(side, dtype=float) for side in zip(*bins.values(), strict=True))
    return FieldVerdict(
        role="feature",
        name="x",
        type="number" if "<below>" in bins else "category",
        state="ok",
        drift="ok",
        rows=now.sum(),
        baseline_rows=usual.sum(),
        bins=tuple(bins),
        counts=now,
        baseline_counts=usual,
        psi=0.0,
        location_shift=0.0,
        effects={},
        thresholds={},
        statistics={},
        critical_values={},
        significance=0.0,
        shares=(),
        importance=None,
    )


def number(*rows: tuple[int, int]) -> FieldVerdict:
    return field(dict(zip(NUMBER, rows, strict=True)))


def test_a_number_is_columns_over_its_edges() -> None:
    of = distribution(number((0, 0), (50, 0), (25, 50), (25, 50), (0, 0), (0, 100), (0, 0)))
    heights = [(bar.kind, bar.height) for bar in of.bars]
    assert heights == [
        ("before", 110.0), ("now", 0.0),
        ("before", 55.0), ("now", 55.0),
        ("before", 55.0), ("now", 55.0),
        ("before", 0.0), ("special", 110.0),
    ]  # fmt: skip
    assert [label.text for label in of.labels] == ["1", "2", "3", "missing"]
    assert all(bar.y + bar.height == of.axis for bar in of.bars)
    assert max(bar.x + bar.width for bar in of.bars) <= of.width


def test_names_of_special_bins_that_are_neighbours_do_not_run_into_each_other() -> None:
    edges = {f"{edge}.0": (5, 5) for edge in range(10)}
    at_the_end = dict.fromkeys(("<above>", "<missing>", "<invalid>"), (0, 9))
    of = distribution(field({"<below>": (0, 9)} | edges | at_the_end))
    names = {label.text: label.y - of.axis for label in of.labels if label.text.isalpha()}
    assert names == {"below": 27, "above": 27, "missing": 40, "invalid": 27}
    assert max(label.y for label in of.labels) < of.height


def test_a_category_is_rows_the_most_frequent_first() -> None:
    of = distribution(
        field({"a": (10, 30), "b": (90, 60), "<other>": (0, 10), "<missing>": (0, 0)})
    )
    assert [label.text for label in of.labels] == [
        *("b", "90 % → 60 %"), *("a", "10 % → 30 %"), *("other", "0 % → 10 %"),
    ]  # fmt: skip
    assert [bar.width for bar in of.bars] == [150.0, 100.0, 16.7, 50.0, 0.0, 16.7]
    assert [bar.kind for bar in of.bars[-2:]] == ["before", "special"]


def test_long_names_are_cut_and_many_categories_left_out() -> None:
    many = {f"{number:02}" + "x" * 30: (10, 10) for number in range(30)}
    of = distribution(field(many | {"<other>": (0, 0), "<missing>": (0, 0)}))
    assert len(of.bars) == 2 * 12
    assert max(len(label.text) for label in of.labels) == 18


def test_the_bins_that_gained_and_lost_the_most() -> None:
    gained, lost = moved_bins(
        number((0, 1), (500, 100), (300, 302), (200, 400), (0, 0), (0, 197), (0, 0))
    )
    assert [(move.name, move.usual, move.now) for move in gained] == [
        ("between 2.0 and 3.0", 0.2, 0.4),
        ("missing", 0.0, 0.197),
    ]
    assert [(move.name, move.usual, move.now) for move in lost] == [("up to 1.0", 0.5, 0.1)]


@pytest.mark.parametrize("rows", [(0, 5), (5, 0), (0, 0)])
def test_nothing_moved_where_there_is_nothing(rows: tuple[int, int]) -> None:
    of = number((0, 0), rows, (0, 0), (0, 0), (0, 0), (0, 0), (0, 0))
    assert moved_bins(of) == ([], [])
    assert all(np.isfinite(bar.height) for bar in distribution(of).bars)

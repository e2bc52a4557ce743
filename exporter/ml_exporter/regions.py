"""Regions: the leaves of a tree fitted on the baseline, and how right the model was in each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import Batch, Categories, Column, Field, Role
from ml_exporter.carried import Names
from ml_exporter.statistics import counting
from ml_exporter.statistics.bins import ANY, OTHER, Floats, format_number

Estimator = Literal["scores", "regions"]

MOST_REGIONS = 64  # a bit each

_LONGEST_NAME = 120  # characters of a region's name
_MOST_NAMES = 3  # categories that one condition names
_WEIGHT_OF_SCORES = 10  # rows: how much what scores say counts beside the rows of a leaf


@dataclass(frozen=True, kw_only=True)
class Split:
    """A region in two: some of its rows stay, the others become region `new`.

    Of a number there stay values of at most `at`, and rows without a value if `missing`. Of a
    category there stay the names `among`; one that isn't in `others` either does as `<other>`.
    """

    region: int
    new: int
    role: Role
    field: str
    at: float | None = None
    missing: bool = False
    among: list[str] = dataclasses.field(default_factory=list)
    others: list[str] = dataclasses.field(default_factory=list)

    @property
    def key(self) -> Field:
        return Field(self.role, self.field)

    def moves(self, value: float | str | None) -> bool:
        """Whether a row becomes one of region `new`; None is no number, or a name not known."""
        if self.at is not None:
            return value > self.at if isinstance(value, float) else not self.missing
        known = OTHER in self.among or ANY in self.among
        return value not in self.among and (not known or value in self.others)


@dataclass(frozen=True)
class Answers:
    """Labelled rows of a region with one predicted class, and how many were right."""

    predicted: str
    rows: int
    correct: int
    expected: float  # to be right, by what scores say, or by the prediction alone


@dataclass(frozen=True, kw_only=True)
class Region:
    name: str
    rows: int
    # Of a classifier.
    answers: list[Answers] = dataclasses.field(default_factory=list)
    absolute: float = 0.0  # of a regression: sums of errors
    squared: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Regions:
    """All regions of a baseline; `preferred` is the estimator that knew held-out rows better.

    What regions know beyond scores counts by a `share`, the one that knew held-out rows best.
    `held_out` has, of a classifier's estimators, the squared sum of what each missed in a part of
    the baseline that it wasn't made of, by rows of the part, in the mean over all parts.
    """

    splits: list[Split]
    regions: list[Region]
    preferred: Estimator
    share: float = 1.0  # how much of it counts that answers were right more often than expected
    held_out: dict[Estimator, float] = dataclasses.field(default_factory=dict)

    def of(self, batch: Batch) -> Column:
        """The name of each row's region."""
        return Names(Categories(self.codes(batch), self.names))

    @property
    def names(self) -> list[str]:
        return [region.name for region in self.regions]

    def codes(self, batch: Batch) -> NDArray[np.int32]:
        """The place of each row's region in `regions`."""
        left = np.full(batch.rows, (1 << len(self.regions)) - 1, dtype=np.uint64)
        for key, test in self._tests:
            test.leave(batch.column(key), left)
        # One bit is left, and as many are below it as its place says.
        below: NDArray[np.uint8] = np.bitwise_count(left - np.uint64(1))
        return below.astype(np.int32)

    @cached_property
    def _tests(self) -> list[tuple[Field, _NumberTest | _CategoryTest]]:
        """What the value of each field leaves of the regions, as bits: all fields leave one.

        C. Lucchese et al., QuickScorer: a fast algorithm to rank documents with additive ensembles
        of regression trees (2015).
        """
        within = [1 << number for number in range(len(self.regions))]
        sides: dict[tuple[Field, bool], list[_Sides]] = {}
        for split in reversed(self.splits):
            stay, move = within[split.region], within[split.new]
            is_number = split.at is not None
            sides.setdefault((split.key, is_number), []).append(_Sides(split, stay, move))
            within[split.region] |= move
        return [
            (key, (_NumberTest if is_number else _CategoryTest)(of_field))
            for (key, is_number), of_field in sides.items()
        ]

    def corrections(self, classes: Sequence[str]) -> Floats:
        """By how much more often the model is right than scores say: (regions, predicted)."""
        table = np.zeros((len(self.regions), len(classes)))
        index = {name: code for code, name in enumerate(classes)}
        for code, region in enumerate(self.regions):
            for one in region.answers:
                if one.predicted in index:
                    surplus = (one.correct - one.expected) / (one.rows + _WEIGHT_OF_SCORES)
                    table[code, index[one.predicted]] = self.share * surplus
        return table

    @cached_property
    def errors(self) -> Floats:
        """Mean absolute and mean squared error of each region: (regions, 2)."""
        return np.array([[r.absolute / r.rows, r.squared / r.rows] for r in self.regions])

    @property
    def problem(self) -> str | None:
        """What is wrong with it, as a file has it."""
        if len(self.regions) > MOST_REGIONS:
            return f"there may be {MOST_REGIONS} regions, no more"
        if len(self.regions) != len(self.splits) + 1:
            return "there must be one region more than there are splits"
        if len(set(self.names)) < len(self.regions):
            return "regions must have different names"
        for number, split in enumerate(self.splits, 1):
            if not 0 <= split.region < number or split.new != number:
                return f"splits[{number - 1}]: must split one of the regions before into {number}"
        if any(region.rows < 1 for region in self.regions):
            return "each region needs rows"
        if not 0 <= self.share <= 1:
            return "share must be between 0 and 1"
        return None


def corrected(probabilities: Floats, predicted: NDArray[np.int64], surplus: Floats) -> Floats:
    """Probabilities of classes, (rows, classes), where the predicted one is more likely by so much.

    The other classes keep their proportions.
    """
    rows = np.arange(len(probabilities))
    before = probabilities[rows, predicted]
    after = np.clip(before + surplus, 0.0, 1.0)
    rest = 1 - before
    # Where nothing was left for the others, they share alike.
    others = (1 - after) / np.where(rest > 0, rest, 1.0)
    result = probabilities * others[:, None]
    alike = (1 - after) / max(probabilities.shape[1] - 1, 1)
    result[rest <= 0] = alike[rest <= 0, None]
    result[rows, predicted] = after
    return result


class _Sides(NamedTuple):
    """A split, and the regions on either side of it, after all splits, as bits."""

    split: Split
    stay: int
    move: int


def _left(sides: Sequence[_Sides], value: float | str | None) -> int:
    """The regions that a value of a field leaves. None is no number, or a name not known."""
    excluded = 0
    for one in sides:
        excluded |= one.stay if one.split.moves(value) else one.move
    return ~excluded & (1 << MOST_REGIONS) - 1


class _NumberTest:
    """The regions that are left by the bin of a number."""

    def __init__(self, sides: Sequence[_Sides]) -> None:
        self._uppers = tuple(sorted({one.split.at for one in sides if one.split.at is not None}))
        values = [*self._uppers, math.inf, None]
        self._of_bins = np.array([_left(sides, value) for value in values], dtype=np.uint64)

    def leave(self, column: Column, left: NDArray[np.uint64]) -> None:
        # There are fewer uppers than regions.
        counting.leave(column.numbers.codes(self._uppers), self._of_bins, left)


class _CategoryTest:
    """The regions that are left by the name of a category."""

    def __init__(self, sides: Sequence[_Sides]) -> None:
        names = {name for one in sides for name in (*one.split.among, *one.split.others)}
        self._of_names = {name: _left(sides, name) for name in names}
        self._of_others = _left(sides, None)

    def leave(self, column: Column, left: NDArray[np.uint64]) -> None:
        categories = column.categories
        of_names = [self._of_names.get(name, self._of_others) for name in categories.names]
        codes = np.ascontiguousarray(categories.codes, dtype=np.int32)
        counting.leave(codes, np.array(of_names, dtype=np.uint64), left)


def region_names(splits: Sequence[Split], missing: Collection[Field]) -> list[str]:
    """A name for each region: what holds for its rows, as `age <= 30.5 & country in DE|FR`.

    `missing` are the numbers of which some row has no value: of others it isn't said.
    """
    conditions: list[dict[Field, _Condition]] = [{}]
    for split in splits:
        before = conditions[split.region]
        conditions.append(before | {split.key: _condition(split, before, stays=False)})
        conditions[split.region] = before | {split.key: _condition(split, before, stays=True)}
    names: list[str] = []
    for number, of_region in enumerate(conditions):
        text = " & ".join(one.text(_title(key), key in missing) for key, one in of_region.items())
        if len(text) > _LONGEST_NAME or text in names:
            end = f" ... ({number})"
            text = text[: _LONGEST_NAME - len(end)].rstrip() + end
        names.append(text)
    return names


@dataclass(frozen=True, kw_only=True)
class _Condition:
    """What holds for the values of one field in a region."""

    above: float | None = None
    at_most: float | None = None
    missing: bool = True
    among: frozenset[str] | None = None
    others: frozenset[str] = frozenset()

    def text(self, field: str, can_lack: bool) -> str:
        if self.among is not None:
            shorter = len(self.others) < len(self.among)
            names = sorted(self.others if shorter else self.among, key=_special_last)
            listed = "|".join(names[:_MOST_NAMES])
            if len(names) > _MOST_NAMES:
                listed += f"|and {len(names) - _MOST_NAMES} more"
            return f"{field} {'not in' if shorter else 'in'} {listed}"
        parts = [] if self.above is None else [f"{_short(self.above)} < "]
        parts.append(field)
        parts += [] if self.at_most is None else [f" <= {_short(self.at_most)}"]
        if len(parts) == 1:
            return f"{field} missing" if self.missing else f"{field} not missing"
        return "".join(parts) + (" or missing" if self.missing and can_lack else "")


def _condition(split: Split, before: Mapping[Field, _Condition], stays: bool) -> _Condition:
    now = before.get(split.key, _Condition())
    missing = now.missing and split.missing == stays
    if split.at is None:
        among, others = frozenset(split.among), frozenset(split.others)
        if not stays:
            among, others = others, among
        still = among if now.among is None else among & now.among
        return _Condition(among=still, others=others | now.others)
    if stays:
        return _Condition(above=now.above, at_most=split.at, missing=missing)
    return _Condition(above=split.at, at_most=now.at_most, missing=missing)


def _special_last(name: str) -> tuple[bool, str]:
    return name.startswith("<"), name


def _title(key: Field) -> str:
    return f"score {key.name}" if key.role == "score" and key.name != "score" else key.name


def _short(value: float) -> str:
    return format_number(float(f"{value:.4g}")).removesuffix(".0")

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

from ml_exporter.batch import EXPECTED_ERROR, REGION, Batch, Field, Role
from ml_exporter.carried import Names, Scores
from ml_exporter.columns import Categories, Column
from ml_exporter.statistics import counting
from ml_exporter.statistics.bins import ANY, OTHER, Floats, format_number

Estimator = Literal["scores", "regions"]

MOST_REGIONS = 64  # a bit each
MOST_LEAVES = 8  # of a tree of errors, a bit each: eight trees have as many bits

_WORD = 64  # bits
_TREES_IN_WORD = _WORD // MOST_LEAVES
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


@dataclass(frozen=True)
class ErrorTree:
    """A small tree, and what it adds to the absolute error that is expected of a leaf's rows."""

    splits: list[Split]  # its leaves are numbered as regions are
    adds: list[float]

    @property
    def problem(self) -> str | None:
        if not 1 < len(self.adds) == len(self.splits) + 1 <= MOST_LEAVES:
            return f"needs two to {MOST_LEAVES} leaves, one more than splits"
        return _problem_of_splits(self.splits)


@dataclass(frozen=True, kw_only=True)
class Regions:
    """All regions of a baseline; `preferred` is the estimator that knew held-out rows better.

    Of a regression `trees` add up to the absolute error that is expected of a row. The squared one
    is its square times `square_ratio`, as if errors had the same shape everywhere. Older files have
    no trees.

    What regions know beyond scores counts by a `share`, the one that knew held-out rows best.
    `held_out` has, of a classifier's estimators, the squared sum of what each missed in a part of
    the baseline that it wasn't made of, by rows of the part, in the mean over all parts.
    """

    splits: list[Split]
    regions: list[Region]
    preferred: Estimator
    trees: list[ErrorTree] = dataclasses.field(default_factory=list)
    square_ratio: float = 1.0
    share: float = 1.0  # how much of it counts that answers were right more often than expected
    held_out: dict[Estimator, float] = dataclasses.field(default_factory=dict)

    def columns(self, batch: Batch) -> dict[Field, Column]:
        """What is known of each row, and goes along with it until its label comes."""
        columns: dict[Field, Column] = {REGION: self.of(batch)}
        if self.trees:
            columns[EXPECTED_ERROR] = Scores(self.expected_errors(batch))
        return columns

    def of(self, batch: Batch) -> Column:
        """The name of each row's region."""
        return Names(Categories(self.codes(batch), self.names))

    @property
    def names(self) -> list[str]:
        return [region.name for region in self.regions]

    def codes(self, batch: Batch) -> NDArray[np.int32]:
        """The place of each row's region in `regions`."""
        (left,) = self._bits_of_regions.left(batch)
        # One bit is left, and as many are below it as its place says.
        below: NDArray[np.uint8] = np.bitwise_count(left - np.uint64(1))
        return below.astype(np.int32)

    def expected_errors(self, batch: Batch) -> Floats:
        """The absolute error that is expected of each row, by all trees together."""
        left = self._bits_of_trees.left(batch).astype("<u8", copy=False)
        of_trees = left.view(np.uint8).reshape(len(left), batch.rows, _TREES_IN_WORD)
        errors = np.zeros(batch.rows)
        for number, adds in enumerate(self._adds):
            word, place = divmod(number, _TREES_IN_WORD)
            errors += adds.take(of_trees[word, :, place])
        return np.maximum(errors, 0.0, out=errors)

    @cached_property
    def _bits_of_regions(self) -> _Bits:
        return _Bits([self.splits], MOST_REGIONS)

    @cached_property
    def _bits_of_trees(self) -> _Bits:
        return _Bits([tree.splits for tree in self.trees], MOST_LEAVES)

    @cached_property
    def _adds(self) -> Floats:
        """What each tree adds by the one bit that is left of it."""
        table = np.zeros((len(self.trees), 1 << MOST_LEAVES))
        for of_tree, tree in zip(table, self.trees, strict=True):
            of_tree[1 << np.arange(len(tree.adds))] = tree.adds
        return table

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
        if problem := _problem_of_splits(self.splits):
            return problem
        for number, tree in enumerate(self.trees):
            if tree.problem:
                return f"trees[{number}]: {tree.problem}"
        if any(region.rows < 1 for region in self.regions):
            return "each region needs rows"
        if self.square_ratio < 0:
            return "square_ratio can't be negative"
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


def _problem_of_splits(splits: Sequence[Split]) -> str | None:
    for number, split in enumerate(splits, 1):
        if not 0 <= split.region < number or split.new != number:
            return f"splits[{number - 1}]: must split one of the regions before into {number}"
    return None


class _Bits:
    """The leaves of some trees as bits, so many for each tree: of each tree a row leaves one.

    They are in words of 64 bits. What the value of a field leaves of the leaves is looked up.

    C. Lucchese et al., QuickScorer: a fast algorithm to rank documents with additive ensembles of
    regression trees (2015).
    """

    def __init__(self, trees: Sequence[Sequence[Split]], bits: int) -> None:
        words = -(-len(trees) * bits // _WORD)
        self._all = np.zeros((words, 1), dtype=np.uint64)
        sides: dict[tuple[Field, bool], list[list[_Sides]]] = {}
        for number, splits in enumerate(trees):
            word, first = divmod(number * bits, _WORD)
            within = [1 << first + leaf for leaf in range(len(splits) + 1)]
            self._all[word] |= np.uint64(sum(within))
            for split in reversed(splits):
                stay, move = within[split.region], within[split.new]
                of_field = sides.setdefault(
                    (split.key, split.at is not None), [[] for _ in range(words)]
                )
                of_field[word].append(_Sides(split, stay, move))
                within[split.region] |= move
        self._tests = [
            (key, (_NumberTest if is_number else _CategoryTest)(of_field))
            for (key, is_number), of_field in sides.items()
        ]

    def left(self, batch: Batch) -> NDArray[np.uint64]:
        """The bits that are left, of shape (words, rows)."""
        left = np.repeat(self._all, batch.rows, axis=1)
        for key, test in self._tests:
            test.leave(batch.column(key), left)
        return left


class _Sides(NamedTuple):
    """A split, and the leaves on either side of it, after all splits, as bits."""

    split: Split
    stay: int
    move: int


def _left(sides: Sequence[_Sides], value: float | str | None) -> int:
    """The leaves that a value of a field leaves. None is no number, or a name not known."""
    excluded = 0
    for one in sides:
        excluded |= one.stay if one.split.moves(value) else one.move
    return ~excluded & (1 << _WORD) - 1


def _tables(
    sides: Sequence[Sequence[_Sides]], values: Sequence[float | str | None]
) -> list[NDArray[np.uint64] | None]:
    """What each of the values leaves, by word; None where the field tells nothing of a word."""
    return [
        np.array([_left(of_word, value) for value in values], dtype=np.uint64) if of_word else None
        for of_word in sides
    ]


class _NumberTest:
    """The leaves that are left by the bin of a number."""

    def __init__(self, sides: Sequence[Sequence[_Sides]]) -> None:
        every = {one.split.at for of_word in sides for one in of_word}
        self._uppers = tuple(sorted(upper for upper in every if upper is not None))
        self._of_bins = _tables(sides, [*self._uppers, math.inf, None])

    def leave(self, column: Column, left: NDArray[np.uint64]) -> None:
        codes = column.numbers.codes(self._uppers)
        for table, of_word in zip(self._of_bins, left, strict=True):
            if table is not None:
                counting.leave(codes, table, of_word)


class _CategoryTest:
    """The leaves that are left by the name of a category."""

    def __init__(self, sides: Sequence[Sequence[_Sides]]) -> None:
        splits = [one.split for of_word in sides for one in of_word]
        names = dict.fromkeys(name for one in splits for name in (*one.among, *one.others))
        self._places = {name: place for place, name in enumerate(names)}
        self._of_names = _tables(sides, [*names, None])

    def leave(self, column: Column, left: NDArray[np.uint64]) -> None:
        categories = column.categories
        places = [self._places.get(name, len(self._places)) for name in categories.names]
        codes = np.ascontiguousarray(categories.codes, dtype=np.int32)
        for table, of_word in zip(self._of_names, left, strict=True):
            if table is not None:
                counting.leave(codes, table[places], of_word)


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

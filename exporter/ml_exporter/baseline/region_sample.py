"""Labelled rows of a baseline as bins: what its regions are fitted on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.regions import MOST_REGIONS, Split, region_names
from ml_exporter.batch import Field, FieldType
from ml_exporter.columns import Column
from ml_exporter.statistics import trees
from ml_exporter.statistics.bins import ANY, MISSING, OTHER, Floats, bin_codes, quantile_edges

LEAST_ROWS = 50  # of a region, and of a part of the baseline that estimators are compared on
_FINE_BINS = 50  # of scores and predicted numbers, and of all numbers if they are to be fine


class Binned(Protocol):
    """A field of a baseline."""

    @property
    def key(self) -> Field: ...
    @property
    def type(self) -> FieldType: ...
    @property
    def edges(self) -> list[float] | None: ...
    @property
    def bins(self) -> list[str]: ...


@dataclass(frozen=True)
class Sample:
    """Rows as bins, or as values where bins are still to be made; and what came of them."""

    codes: Mapping[Field, trees.Codes]
    values: Mapping[Field, Floats]
    truth: NDArray[np.int64] | Floats  # (2, rows): predicted, actual

    @property
    def rows(self) -> int:
        return len(self.truth[0])

    @staticmethod
    def joined(parts: Sequence[Sample]) -> Sample:
        first = parts[0]
        return Sample(
            {key: np.concatenate([part.codes[key] for part in parts]) for key in first.codes},
            {key: np.concatenate([part.values[key] for part in parts]) for key in first.values},
            np.concatenate([part.truth for part in parts], axis=1),
        )

    def of(self, rows: slice | NDArray[np.bool_]) -> Sample:
        # Copies: a slice alone would keep all of them.
        return Sample(
            {key: codes[rows].copy() for key, codes in self.codes.items()},
            {key: values[rows].copy() for key, values in self.values.items()},
            self.truth[:, rows].copy(),
        )


@dataclass(frozen=True)
class Inputs:
    """What a tree is fitted on, with what its bins mean."""

    fields: list[Field] = field(default_factory=list)
    uppers: list[list[float] | None] = field(default_factory=list)  # of the bins of a number
    names: list[list[str] | None] = field(default_factory=list)  # of those of a category
    codes: list[trees.Codes] = field(default_factory=list)

    @staticmethod
    def of(fields: Iterable[Binned], sample: Sample, fine: bool = False) -> Inputs:
        """The bins of features are those of the baseline, unless they are to be `fine`."""
        inputs = Inputs()
        for one in fields:
            uppers = None if one.edges is None else one.edges[1:]
            if one.key in sample.values:
                values = sample.values[one.key]
                present = values[~np.isnan(values)]
                if not present.size:
                    continue
                if fine or uppers is None or one.key.role != "feature":
                    uppers = quantile_edges(present, _FINE_BINS)[1:].tolist()
                codes = number_codes(values, uppers)
            else:
                codes = sample.codes[one.key]
            inputs.fields.append(one.key)
            inputs.uppers.append(uppers)
            inputs.names.append(one.bins if uppers is None else None)
            inputs.codes.append(codes)
        return inputs

    def of_rows(self, rows: NDArray[np.bool_]) -> Inputs:
        return Inputs(self.fields, self.uppers, self.names, [codes[rows] for codes in self.codes])

    @property
    def shapes(self) -> list[trees.Input]:
        return [
            trees.Input(len(names or ()))
            if uppers is None
            # What is above all edges, and what has no value.
            else trees.Input(len(uppers) + 2, len(uppers) + 1)
            for uppers, names in zip(self.uppers, self.names, strict=True)
        ]

    def grow(self, targets: Floats) -> list[trees.Split]:
        """The splits into regions, by targets of shape (rows, k)."""
        return trees.grow(
            self.codes, self.shapes, targets, most_leaves=MOST_REGIONS, least_rows=LEAST_ROWS
        )

    def leaves(self, splits: Sequence[trees.Split]) -> NDArray[np.int32]:
        """The leaf of each row after all splits."""
        return trees.leaves_of(splits, self.codes, len(self.codes[0]))

    def described(self, splits: Sequence[trees.Split]) -> tuple[list[Split], list[str]]:
        """Splits as the baseline has them, and the names of regions."""
        found = [self._described(split) for split in splits]
        missing = {
            key
            for key, uppers, codes in zip(self.fields, self.uppers, self.codes, strict=True)
            if uppers is not None and np.any(codes == len(uppers) + 1)
        }
        return found, region_names(found, missing)

    def _described(self, split: trees.Split) -> Split:
        key, uppers = self.fields[split.feature], self.uppers[split.feature]
        names = self.names[split.feature]
        if uppers is not None:
            last = int(np.flatnonzero(split.left[:-1])[-1])
            at = uppers[min(last, len(uppers) - 1)]  # beyond the last there is nothing
            return Split(
                region=split.leaf,
                new=split.right,
                role=key.role,
                field=key.name,
                at=at,
                missing=bool(split.left[-1]),
            )
        rows = np.bincount(self.codes[split.feature], minlength=len(split.left))
        # What no row has does as what no row of the baseline had.
        stays = {
            name: here
            for name, here, n in zip(names or (), split.left.tolist(), rows.tolist(), strict=True)
            if n or name in (OTHER, ANY)
        }
        return Split(
            region=split.leaf,
            new=split.right,
            role=key.role,
            field=key.name,
            among=[name for name, here in stays.items() if here],
            others=[name for name, here in stays.items() if not here],
        )


def number_codes(values: Floats, uppers: Sequence[float]) -> trees.Codes:
    """The bin by upper edge; then what is above all of them, and what has no value."""
    return bin_codes(values, np.asarray(uppers, dtype=np.float64))


def category_codes(column: Column, names: Sequence[str]) -> trees.Codes:
    rest = next((names.index(name) for name in (OTHER, ANY, MISSING) if name in names), 0)
    codes = column.categories.among(names)
    codes[codes < 0] = rest
    return _small(codes, len(names))


def _small(codes: NDArray[np.int64], bins: int) -> trees.Codes:
    return codes.astype(np.uint8 if bins <= 256 else np.uint32)

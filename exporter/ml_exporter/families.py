"""Family: an array of counters or gauges with its name, help and labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml_exporter.statistics.bins import format_number

Kind = Literal["counter", "gauge", "histogram"]
_NO_EXEMPLARS: Mapping[int, Exemplar] = {}
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Exemplar:
    """One of the requests that a counter or a bucket counts: where to look for the rest of it."""

    trace: str  # as `traces.trace_id` has it
    value: float
    time: float  # seconds since 1970


class Family:
    """The samples of one metric name that one monitor owns; all have the labels `of`.

    Label sets are only ever added, at value 0, so that whoever reads the first n of them
    needs no lock. `values` is an array in the order of `label_sets`. What is `kept` survives
    the process: counters and histograms, unless it is said otherwise. Where all label sets are
    there from the start it is `complete`, and none is brought back that isn't.
    """

    def __init__(
        self,
        name: str,
        help: str,
        kind: Kind,
        labels: Sequence[str] = (),
        of: Mapping[str, str] | None = None,
        kept: bool | None = None,
        complete: bool = False,
    ) -> None:
        self.name = name
        self.help = help
        self.kind = kind
        self.kept = kind != "gauge" if kept is None else kept
        self._complete = complete
        self.label_names = (*(of or {}), *labels)
        self._constant = tuple((of or {}).values())
        self.label_sets: list[tuple[str, ...]] = []
        self.suffixes: list[str] = []  # "" or, in a histogram, "_bucket", "_count", "_sum"
        self._index: dict[tuple[str, ...], int] = {}
        self._values = np.zeros(8)
        self.exemplars: Mapping[int, Exemplar] = _NO_EXEMPLARS  # the latest of each sample, if any

    def __len__(self) -> int:
        return len(self.label_sets)

    @property
    def values(self) -> Values:
        return self._values[: len(self.label_sets)]

    def add(self, *labels: str, suffix: str = "") -> int:
        """The index of a label set, which is born at 0 if it wasn't there."""
        key = (suffix, *self._constant, *labels)
        index = self._index.get(key)
        if index is None:
            index = len(self.label_sets)
            if index == len(self._values):
                self._values = np.concatenate((self._values, np.zeros(index)))
            self.suffixes.append(suffix)
            self.label_sets.append(key[1:])
            self._index[key] = index
        return index

    def add_all(self, label_sets: Iterable[Sequence[str]]) -> NDArray[np.intp]:
        return np.array([self.add(*labels) for labels in label_sets], dtype=np.intp)

    def set(self, value: float, *labels: str) -> None:
        index = self.add(*labels)
        self.values[index] = value

    def inc(self, amount: float, *labels: str) -> None:
        index = self.add(*labels)
        self.values[index] += amount

    def value(self, *labels: str) -> float:
        """The value of a label set, 0 where there is none."""
        index = self._index.get(("", *self._constant, *labels))
        return 0.0 if index is None else float(self._values[index])

    def exemplify(self, index: int, trace: str | None, value: float, time: float) -> None:
        """Name the trace of something that a sample counts."""
        if trace is not None:
            self.exemplars = {**self.exemplars, index: Exemplar(trace, value, time)}

    def keys(self) -> list[tuple[str, ...]]:
        """Suffix and label values of each sample: what a stored value is found by."""
        return list(self._index)

    def restore(self, key: tuple[str, ...], value: float) -> None:
        """Set what was stored under one of `keys`, whoever's constant labels it had."""
        if self._complete and key not in self._index:
            return
        suffix, *labels = key
        if tuple(labels[: len(self._constant)]) == self._constant:
            index = self.add(*labels[len(self._constant) :], suffix=suffix)
            self.values[index] = value


class Histogram(Family):
    """A classic histogram without labels of its own."""

    def __init__(
        self,
        name: str,
        help: str,
        uppers: Sequence[float],
        of: Mapping[str, str] | None = None,
        kept: bool | None = None,
    ) -> None:
        super().__init__(name, help, "histogram", ["le"], of, kept)
        self.uppers = np.asarray(uppers, dtype=np.float64)
        for upper in (*uppers, float("inf")):
            self.add(format_number(upper), suffix="_bucket")
        self._sum = self.add(suffix="_sum")
        self._count = self.add(suffix="_count")

    def observe(self, values: Values) -> None:
        """Count an array of finite values."""
        for index, upper in enumerate(self.uppers):
            self.values[index] += np.count_nonzero(values <= upper)
        self.values[len(self.uppers)] += values.size
        self.values[self._sum] += values.sum()
        self.values[self._count] += values.size

    def show(self, counts: Values, total: float) -> None:
        """Take over what was counted: values up to each bucket, at last all, and their sum."""
        self.values[: len(counts)] = counts
        self.values[self._sum] = total
        self.values[self._count] = counts[-1]


@dataclass(frozen=True)
class Frozen:
    """A family's samples as they were at one moment."""

    family: Family
    values: Values
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)


def freeze(families: Iterable[Family]) -> list[Frozen]:
    return [Frozen(family, family.values.copy(), family.exemplars) for family in families]

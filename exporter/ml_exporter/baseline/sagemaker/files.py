"""What Model Monitor's statistics.json and constraints.json hold, as far as it is read.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-statistics.html and
model-monitor-byoc-constraints.html. Counts may have a fraction of zero.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TypeVar

from ml_exporter.baseline.baseline import BaselineError
from ml_exporter.serialization import typed

MOST_DISTINCT = 100_000  # values that are told apart; text with more of them has no categories
STATISTICS, CONSTRAINTS = "statistics.json", "constraints.json"

Schema = TypeVar("Schema")


@dataclass(frozen=True)
class Common:
    num_present: float
    num_missing: float = 0.0

    def counts(self) -> tuple[int, int]:
        """Rows that have a value, and rows that have none."""
        return whole_count(self.num_present), whole_count(self.num_missing)


@dataclass(frozen=True)
class Bucket:
    lower_bound: float
    upper_bound: float
    count: float


@dataclass(frozen=True)
class Sketch:
    data: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Kll:
    buckets: list[Bucket] = field(default_factory=list)
    sketch: Sketch = Sketch()


@dataclass(frozen=True)
class NumberDistribution:
    kll: Kll = Kll()


@dataclass(frozen=True)
class Numerical:
    common: Common
    min: float | str | None = None
    max: float | str | None = None
    distribution: NumberDistribution = NumberDistribution()


@dataclass(frozen=True)
class Value:
    value: str | float
    count: float


@dataclass(frozen=True)
class Categorical:
    buckets: list[Value] = field(default_factory=list)


@dataclass(frozen=True)
class TextDistribution:
    categorical: Categorical = Categorical()


@dataclass(frozen=True)
class Textual:
    common: Common
    distinct_count: float = 0.0
    distribution: TextDistribution = TextDistribution()


@dataclass(frozen=True)
class Feature:
    name: str
    inferred_type: str = "Unknown"
    numerical_statistics: Numerical | None = None
    string_statistics: Textual | None = None


@dataclass(frozen=True)
class Dataset:
    item_count: float


@dataclass(frozen=True)
class Statistics:
    dataset: Dataset
    features: list[Feature]


@dataclass(frozen=True)
class Constraint:
    name: str
    inferred_type: str = "Unknown"


@dataclass(frozen=True)
class Constraints:
    features: list[Constraint]


def parse(data: bytes) -> object:
    try:
        return json.loads(data)  # NaN and Infinity, too, which Spark writes
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"not JSON: {error}") from None


def convert(data: bytes, schema: type[Schema]) -> Schema:
    try:
        return typed.convert(parse(data), schema)
    except (typed.Unfit, RecursionError) as error:
        raise BaselineError(f"not what Model Monitor writes: {error}") from None


def whole_count(count: float) -> int:
    if not 0 <= count < 2**62:
        raise BaselineError(f"{count} is no count")
    return round(count)

"""What Model Monitor's statistics.json and constraints.json hold, as far as it is read.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-statistics.html and
model-monitor-byoc-constraints.html. Counts may have a fraction of zero.
"""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

from ml_exporter.baseline import BaselineError

MOST_DISTINCT = 100_000  # values that are told apart; text with more of them has no categories
STATISTICS, CONSTRAINTS = "statistics.json", "constraints.json"

Schema = TypeVar("Schema")


class Common(msgspec.Struct, frozen=True):
    num_present: float
    num_missing: float = 0.0

    def counts(self) -> tuple[int, int]:
        """Rows that have a value, and rows that have none."""
        return whole_count(self.num_present), whole_count(self.num_missing)


class Bucket(msgspec.Struct, frozen=True):
    lower_bound: float
    upper_bound: float
    count: float


class Sketch(msgspec.Struct, frozen=True):
    data: list[list[float]] = []


class Kll(msgspec.Struct, frozen=True):
    buckets: list[Bucket] = []
    sketch: Sketch = Sketch()


class NumberDistribution(msgspec.Struct, frozen=True):
    kll: Kll = Kll()


class Numerical(msgspec.Struct, frozen=True):
    common: Common
    min: float | str | None = None
    max: float | str | None = None
    distribution: NumberDistribution = NumberDistribution()


class Value(msgspec.Struct, frozen=True):
    value: str | float
    count: float


class Categorical(msgspec.Struct, frozen=True):
    buckets: list[Value] = []


class TextDistribution(msgspec.Struct, frozen=True):
    categorical: Categorical = Categorical()


class Textual(msgspec.Struct, frozen=True):
    common: Common
    distinct_count: float = 0.0
    distribution: TextDistribution = TextDistribution()


class Feature(msgspec.Struct, frozen=True):
    name: str
    inferred_type: str = "Unknown"
    numerical_statistics: Numerical | None = None
    string_statistics: Textual | None = None


class Dataset(msgspec.Struct, frozen=True):
    item_count: float


class Statistics(msgspec.Struct, frozen=True):
    dataset: Dataset
    features: list[Feature]


class Constraint(msgspec.Struct, frozen=True):
    name: str
    inferred_type: str = "Unknown"


class Constraints(msgspec.Struct, frozen=True):
    features: list[Constraint]


def parse(data: bytes) -> object:
    try:
        return json.loads(data)  # NaN and Infinity, too, which Spark writes
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"not JSON: {error}") from None


def convert(data: bytes, schema: type[Schema]) -> Schema:
    try:
        return msgspec.convert(parse(data), schema)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BaselineError(f"not what Model Monitor writes: {error}") from None


def whole_count(count: float) -> int:
    if not 0 <= count < 2**62:
        raise BaselineError(f"{count} is no count")
    return round(count)

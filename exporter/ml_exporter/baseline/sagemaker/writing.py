"""Writes what Model Monitor knows of a training set: its statistics, and suggested constraints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ml_exporter.baseline.baseline import Baseline, BaselineField
from ml_exporter.baseline.sagemaker.files import CONSTRAINTS, MOST_DISTINCT, STATISTICS
from ml_exporter.baseline.sagemaker.monitoring import Comparison, Monitoring
from ml_exporter.baseline.sagemaker.sketch import Sketch
from ml_exporter.batch import Batch, Field
from ml_exporter.columns import Column, category_name
from ml_exporter.serialization.json_text import indented
from ml_exporter.statistics.bins import ANY, INVALID, MISSING, OTHER, Floats

_BUCKETS = 10
_MONITORING = Monitoring(distribution_constraints=Comparison(categorical_comparison_threshold=0.1))


class _Numbers:
    """The exact moments of a column, and a sketch of its values."""

    def __init__(self) -> None:
        self._rows = 0
        self._total = self._mean = self._squares = 0.0  # of deviations from the mean
        self._low, self._high = math.inf, -math.inf
        self._whole = True
        self._sketch = Sketch()

    def update(self, column: Column) -> None:
        values = column.numbers.values
        values = values[~np.isnan(values)]
        if not values.size:
            return
        # Chan, Golub and LeVeque (1979): the moments of two parts are those of the whole.
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(values.mean())
            rows, apart = self._rows + values.size, mean - self._mean
            self._squares += float(np.square(values - mean).sum())
            self._squares += apart * apart * self._rows * values.size / rows
            self._mean += apart * values.size / rows
            self._total += float(values.sum())
        self._rows = rows
        self._low, self._high = min(self._low, values.min()), max(self._high, values.max())
        self._whole = self._whole and bool(np.all(values == np.floor(values)))
        self._sketch.add(values)

    def statistics(self, rows: int, field: BaselineField) -> dict[str, Any]:
        low, high = float(self._low), float(self._high)
        return {
            "inferred_type": "Integral" if self._whole else "Fractional",
            "numerical_statistics": {
                "common": {"num_present": self._rows, "num_missing": rows - self._rows},
                "mean": self._mean,
                "sum": self._total,
                "std_dev": math.sqrt(self._squares / self._rows),
                "min": low,
                "max": high,
                "distribution": {
                    "kll": {
                        "buckets": self._buckets(low, high),
                        "sketch": {
                            "parameters": {"c": self._sketch.c, "k": float(self._sketch.k)},
                            "data": [level.tolist() for level in self._sketch.levels],
                        },
                    }
                },
            },
        }

    def constraints(self, field: BaselineField) -> dict[str, Any]:
        return {"num_constraints": {"is_non_negative": bool(self._low >= 0)}}

    def _buckets(self, low: float, high: float) -> list[dict[str, float]]:
        """Equal ones, each without its upper bound, but for the last."""
        bounds: Floats = np.array([low + (high - low) * n / _BUCKETS for n in range(_BUCKETS + 1)])
        below = self._sketch.rows_below(bounds)
        below[-1] = self._rows
        return [
            {
                "lower_bound": float(bounds[n]),
                "upper_bound": float(bounds[n + 1]),
                "count": int(below[n + 1] - below[n]),
            }
            for n in range(_BUCKETS)
        ]


class _Texts:
    """The different values of a column; how often each occurs, the baseline knows."""

    def __init__(self) -> None:
        self._distinct: set[str | int] = set()

    def update(self, column: Column) -> None:
        if len(self._distinct) >= MOST_DISTINCT:
            return
        names = column.categories.counts.keys()
        self._distinct.update(names - {MISSING, INVALID, OTHER})
        if OTHER in names:  # too long to be kept
            self._distinct.update(hash(v) for v in column.values if category_name(v) == OTHER)

    def statistics(self, rows: int, field: BaselineField) -> dict[str, Any]:
        named = _named(field)
        present = rows - field.counts[MISSING] - field.counts[INVALID]
        return {
            "inferred_type": "String" if present else "Unknown",
            "string_statistics": {
                "common": {"num_present": present, "num_missing": rows - present},
                "distinct_count": float(len(self._distinct)),
                "distribution": {
                    "categorical": {
                        "buckets": [
                            {"value": value, "count": count}
                            for value, count in sorted(named.items(), key=lambda one: -one[1])
                        ]
                    }
                },
            },
        }

    def constraints(self, field: BaselineField) -> dict[str, Any]:
        domains = sorted(_named(field))
        are_all = bool(domains) and not field.counts[OTHER]
        return {"string_constraints": {"domains": domains}} if are_all else {}


def describe(
    batches: Callable[[], Iterable[Batch]], baseline: Baseline, columns: Mapping[Field, str]
) -> dict[str, bytes]:
    """The files, by name, that describe the rows which a baseline was built of.

    They are read once more, for what a baseline doesn't keep. `columns` are names of fields that
    differ from their own. Invalid values are counted among the missing ones: the format knows no
    others. Of categories, those with a bin of their own are named.
    """
    summaries = {
        field.key: _Texts() if field.edges is None else _Numbers() for field in baseline.fields
    }
    for batch in batches():
        for key, summary in summaries.items():
            summary.update(batch.column(key))
    statistics, constraints = [], []
    for field in baseline.fields:
        name = {"name": columns.get(field.key, field.name)}
        summary = summaries[field.key]
        said = summary.statistics(baseline.rows, field)
        of_present = field.rows - field.counts[MISSING] - field.counts[INVALID]
        statistics.append(name | said)
        constraints.append(
            name
            | {
                "inferred_type": said["inferred_type"],
                "completeness": of_present / baseline.rows,
                **summary.constraints(field),
            }
        )
    dataset = {"item_count": baseline.rows}
    return {
        STATISTICS: indented({"version": 0.0, "dataset": dataset, "features": statistics}, 2),
        CONSTRAINTS: indented(
            {"version": 0.0, "features": constraints, "monitoring_config": asdict(_MONITORING)}, 2
        ),
    }


def _named(field: BaselineField) -> dict[str, int]:
    """Values with a bin of their own, without the backslash that tells them from special bins."""
    special = (ANY, OTHER, MISSING, INVALID)
    return {
        name[1:] if name.startswith("\\<") else name: count
        for name, count in field.counts.items()
        if name not in special
    }

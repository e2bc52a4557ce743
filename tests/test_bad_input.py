"""Fields that statistics are undefined for: no NaN is exposed, nothing alarms, series stay few."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ml_exporter.baseline.baseline import Baseline, Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import Batch, Field
from ml_exporter.columns import Column
from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.families import freeze
from ml_exporter.judgement.judgement import judge
from ml_exporter.judgement.verdicts import FieldVerdict
from ml_exporter.monitors.components import ComponentValues
from ml_exporter.monitors.fields import FieldValues
from ml_exporter.monitors.info import ModelInfo
from ml_exporter.monitors.thresholds import Thresholds

MILLIONS = 10
AT_ONCE = 100_000
FALSE_ALARMS = 0.01


def batch(**columns: list[object]) -> Batch:
    rows = len(next(iter(columns.values())))
    return Batch(rows, {Field("feature", name): Column(of) for name, of in columns.items()})


def baseline_of(batches: Callable[[], Iterator[Batch]]) -> Baseline:
    return build(batches, Request("m", "1", {}, {}, 10, 50))


def judged(baseline: Baseline, *batches: Batch) -> tuple[FieldVerdict, ...]:
    """The verdict on each field and component, after a look at all that is exposed."""
    of = ("m", "1")
    monitors = [
        ModelInfo(*of, "binary", None),
        FieldValues(*of, baseline, baseline.fields, FALSE_ALARMS),
        Thresholds(*of, baseline, {}, [], (), FALSE_ALARMS),
    ]
    if baseline.component_fields:
        monitors.append(ComponentValues(*of, baseline, baseline.component_fields, FALSE_ALARMS))
    for one in batches:
        for monitor in monitors:
            monitor.update(one)
    samples = list(freeze([family for one in monitors for family in one.families]))
    assert all(np.isfinite(one.values).all() for one in samples)
    (model,) = judge(samples)
    version = model.versions[0]
    return (*version.fields, *version.components)


def ordinary(rows: int, seed: int) -> list[object]:
    return list(np.random.default_rng(seed).normal(size=rows).tolist())


def two_values(rows: int, seed: int) -> list[object]:
    return list((np.random.default_rng(seed).random(rows) < 0.3).astype(float).tolist())


FIELDS: dict[str, Callable[[int, int], list[object]]] = {
    "a constant number": lambda rows, seed: [7.0] * rows,
    "a constant category": lambda rows, seed: ["same"] * rows,
    "all missing": lambda rows, seed: [None] * rows,
    "two values": two_values,
}


@pytest.mark.parametrize("name", FIELDS)
class TestField:
    def baseline(self, name: str, rows: int = 2000) -> Baseline:
        return baseline_of(lambda: iter([batch(x=FIELDS[name](rows, 0), beside=ordinary(rows, 1))]))

    @pytest.mark.parametrize("rows", [1, 20, 200, 5000])
    def test_as_it_was_is_well(self, name, rows):
        window = batch(x=FIELDS[name](rows, 2), beside=ordinary(rows, 3))
        verdicts = judged(self.baseline(name), window)
        assert {one.name for one in verdicts} >= {"x", "beside"}
        for one in verdicts:
            assert one.state == "ok", one
            assert 0 <= one.significance <= 1
            assert one.psi >= 0

    def test_that_changes_is_found(self, name):
        window = batch(x=["other"] * 500, beside=ordinary(500, 3))
        (x,) = (one for one in judged(self.baseline(name), window) if one.name == "x")
        assert x.state in SEVERITIES
        assert 1 < x.significance < np.inf

    def test_without_rows_says_nothing(self, name):
        for verdicts in (
            judged(self.baseline(name)),
            judged(self.baseline(name), batch(x=[], beside=[])),
        ):
            assert {one.state for one in verdicts} == {"no data"}
            assert all(np.isnan((one.psi, one.significance)).all() for one in verdicts)


class TestBaselineOfThirtyRows:
    @pytest.mark.parametrize("rows", [30, 200, 5000])
    def test_does_not_alarm(self, rows):
        """Whatever thirty rows say of a distribution is worth thirty rows."""
        worst = []
        for seed in range(100):
            made = baseline_of(
                lambda seed=seed: iter(
                    [batch(x=ordinary(30, 3 * seed), y=two_values(30, 3 * seed + 1))]
                )
            )
            window = batch(x=ordinary(rows, 3 * seed + 2), y=two_values(rows, 3 * seed))
            worst += [one.significance for one in judged(made, window) if one.role == "feature"]
        assert max(worst) <= 1


class TestMillionsOfCategories:
    @staticmethod
    def batches() -> Iterator[Batch]:
        for part in range(MILLIONS * 1_000_000 // AT_ONCE):
            start = part * AT_ONCE
            yield batch(x=[f"{number:x}" for number in range(start, start + AT_ONCE)])

    def test_come_where_a_few_were_usual(self):
        made = baseline_of(lambda: iter([batch(x=["red", "green", "blue"] * 500)]))
        (x,) = judged(made, *self.batches())
        assert dict(zip(x.bins, x.counts.tolist(), strict=True)) == {
            **{"blue": 0, "green": 0, "red": 0},
            **{"<other>": MILLIONS * 1_000_000, "<missing>": 0, "<invalid>": 0},
        }
        assert x.state == "critical"

    def test_of_the_baseline_are_any(self):
        made = baseline_of(self.batches)
        assert made.fields[0].bins == ["<any>", "<missing>", "<invalid>"]
        (x,) = judged(made, batch(x=[f"new {number}" for number in range(5000)]))
        assert x.state == "ok"
        assert x.significance == 0

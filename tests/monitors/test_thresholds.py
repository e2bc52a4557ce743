"""Every threshold as a series: configured, or made from the baseline."""

import pytest

from ml_exporter.baseline.baseline import FORMAT, Baseline, BaselineField, Outcome
from ml_exporter.config.thresholds import Threshold
from ml_exporter.monitors.thresholds import Thresholds, resolve
from ml_exporter.statistics.significance import critical_value


def baseline(correct, wrong):
    cells = [Outcome("a", "a", correct), Outcome("a", "b", wrong)]
    return Baseline(
        format=FORMAT,
        model="m",
        rows=correct + wrong,
        fields=[],
        classes=["a", "b"],
        confusion=cells,
    )


def series(performance, configured=(), off=(), false_alarms=0.01, of=None):
    """Values by name, monitor and severity; of the model itself, not of a field."""
    monitor = Thresholds("m", "1", of, performance, configured, off, false_alarms)
    return {
        (family.name, *labels[2:]): value
        for family in monitor.families
        for labels, value in zip(family.label_sets, family.values.tolist(), strict=True)
    }


def test_a_figure_may_be_some_points_below_the_baselines():
    found = series({"accuracy": 0.9}, of=baseline(90, 10))
    assert found["ml_threshold", "accuracy", "warning"] == pytest.approx(0.85)
    assert found["ml_threshold", "accuracy", "critical"] == pytest.approx(0.8)


def test_and_must_be_significantly_worse_than_it():
    found = series({"accuracy": 0.9, "roc_auc": 0.8}, of=baseline(90, 10))
    assert found["ml_threshold_reference", "accuracy", "warning"] == pytest.approx(91 / 102)
    assert found["ml_threshold_reference", "roc_auc", "critical"] == 0.8


def test_a_baseline_without_a_mistake_is_not_taken_for_perfect():
    found = series({"accuracy": 1.0}, of=baseline(98, 0))
    assert found["ml_threshold_reference", "accuracy", "warning"] == 0.99


def test_an_error_may_grow_by_a_share():
    found = series({"mean_absolute_error": 10.0})
    assert found["ml_threshold", "mean_absolute_error", "warning"] == 12
    assert found["ml_threshold", "mean_absolute_error", "critical"] == 15
    assert found["ml_threshold_reference", "mean_absolute_error", "critical"] == 10


def test_what_is_configured_is_its_own_reference():
    said = (Threshold("recall", "critical", 0.7), Threshold("accuracy", "warning", 0.88))
    found = series({"accuracy": 0.9}, said)
    assert found["ml_threshold_reference", "recall", "critical"] == 0.7
    assert found["ml_threshold_reference", "accuracy", "warning"] == 0.88
    assert found["ml_threshold_reference", "accuracy", "critical"] == 0.9


@pytest.mark.parametrize(
    ("performance", "off", "monitors"),
    [({"accuracy": 0.9, "f1": 0.8}, (), 2), ({"accuracy": 0.9, "f1": 0.8}, ("f1",), 1)],
)
def test_false_alarms_are_shared_by_the_figures_that_are_judged(performance, off, monitors):
    found = series(performance, off=off)
    assert found[("ml_performance_critical_value",)] == critical_value(monitors, 0.01)


def test_without_figures_nothing_is_critical():
    assert ("ml_performance_critical_value",) not in series({})


class TestResolved:
    @pytest.fixture
    def baseline(self):
        counts = {"a": 60, "<other>": 10, "<missing>": 30, "<invalid>": 0}
        field = BaselineField(role="feature", name="city", type="category", counts=counts)
        return Baseline(format=FORMAT, model="m", rows=100, fields=[field])

    def resolved(self, baseline=None, performance=(), configured=(), off=()):
        return {
            (one.monitor, one.severity, one.field): pytest.approx(one.value)
            for one in resolve(baseline, dict(performance), configured, off)
        }

    def test_defaults(self):
        assert self.resolved() == {
            (monitor, severity, None): value
            for monitor, values in {
                "performance_gap": (0.1, 0.2),
                "multivariate_drift": (1, 1),
                "psi": (0.1, 0.2),
                "location_shift": (0.1, 0.2),
                "missing_ratio": (0.05, 0.2),
                "invalid_ratio": (0.05, 0.2),
                "unseen_ratio": (0.05, 0.2),
                "out_of_range_ratio": (0.05, 0.2),
                "constraint_violation_ratio": (0.01, 0.05),
                "anomaly": (1.0,),
            }.items()
            for severity, value in zip(("warning", "critical"), values, strict=False)
        } | {("constant_z", "warning", None): 16.0}

    def test_shares_are_above_the_baseline_s_own(self, baseline):
        found = self.resolved(baseline)
        assert found["missing_ratio", "warning", "city"] == 0.35
        assert found["missing_ratio", "critical", "city"] == 0.5
        assert found["unseen_ratio", "warning", "city"] == 0.15
        assert ("invalid_ratio", "warning", "city") not in found

    def test_performance_is_below_the_baseline_s_own(self):
        found = self.resolved(performance={"accuracy": 0.9, "precision": 0.8})
        assert found["accuracy", "warning", None] == 0.85
        assert found["accuracy", "critical", None] == 0.8
        assert not any(monitor in ("precision", "f1") for monitor, *_ in found)

    def test_what_is_configured_replaces_the_default(self):
        found = self.resolved(
            performance={"accuracy": 0.9},
            configured=[
                Threshold("accuracy", "warning", 0.99),
                Threshold("psi", "critical", 0.4, "feature", "age"),
            ],
        )
        assert found["accuracy", "warning", None] == 0.99
        assert found["accuracy", "critical", None] == 0.8
        assert found["psi", "critical", "age"] == 0.4
        assert found["psi", "critical", None] == 0.2

    def test_what_is_off_has_none(self, baseline):
        found = self.resolved(baseline, off=["missing_ratio"])
        assert not any(monitor == "missing_ratio" for monitor, *_ in found)

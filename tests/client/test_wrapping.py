"""Functions and models whose predictions are observed."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ml_exporter.client.wrapping import WatchedModel, observed


class Recorder:
    """Stands for a Monitor, which only ever gets what is to be observed."""

    def __init__(self) -> None:
        self.logged: list[tuple[Any, dict[str, Any]]] = []
        self.tables: list[tuple[Any, dict[str, Any]]] = []
        self.failures: list[Exception] = []

    def log(self, features: Any, **said: Any) -> None:
        self.logged.append((features, said))

    def log_many(self, features: Any, **said: Any) -> None:
        self.tables.append((features, said))

    def failed(self, error: Exception) -> None:
        self.failures.append(error)


@pytest.fixture
def monitor() -> Any:
    return Recorder()


def test_arguments_are_features_by_their_names(monitor: Any) -> None:
    @partial(observed, monitor)
    def predict(age: int, country: str = "DE") -> str:
        return "1"

    assert predict(3) == "1"
    assert predict(4, country="FR") == "1"
    assert monitor.logged == [
        ({"age": 3, "country": "DE"}, {"prediction": "1"}),
        ({"age": 4, "country": "FR"}, {"prediction": "1"}),
    ]


def test_one_argument_is_all_features(monitor: Any) -> None:
    result = {"prediction": "1", "score": 0.7, "id": "a", "other": 1}
    predict = observed(monitor, lambda features: result)
    assert predict({"age": 3}) is result
    assert monitor.logged == [({"age": 3}, {"prediction": "1", "score": 0.7, "id": "a"})]


def test_a_method_and_a_coroutine(monitor: Any) -> None:
    class Service:
        async def predict(self, features: dict[str, int]) -> int:
            return features["age"]

    service = Service()
    predict = observed(monitor, Service.predict)
    assert asyncio.run(predict(service, {"age": 3})) == 3
    assert monitor.logged == [({"age": 3}, {"prediction": 3})]


def test_what_a_function_raises_is_raised_and_not_observed(monitor: Any) -> None:
    @partial(observed, monitor)
    def predict(features: object) -> None:
        raise KeyError("age")

    with pytest.raises(KeyError, match="age"):
        predict({})
    assert monitor.logged == monitor.failures == []


class Model:
    """Of scikit-learn's kind."""

    classes_ = np.array(["no", "yes"])
    feature_names_in_ = np.array(["age", "income"])
    depth = 3

    def predict(self, X: Any) -> NDArray[np.str_]:
        return self.classes_[np.asarray(X)[:, 0].astype(int)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        return np.array([[0.3, 0.7]] * len(X))


def test_predictions_of_a_model(monitor: Any) -> None:
    watched = WatchedModel(monitor, Model(), "predict")
    table = pd.DataFrame({"age": [0, 1], "income": [5.0, 6.0]})
    assert watched.predict(table).tolist() == ["no", "yes"]
    assert watched.predict_proba(table).shape == (2, 2)
    ((features, said),) = monitor.tables
    assert features is table
    assert said["prediction"].tolist() == ["no", "yes"]
    assert watched.depth == 3


def test_scores_of_a_model_decide(monitor: Any) -> None:
    watched = WatchedModel(monitor, Model(), "predict_proba")
    watched.predict_proba(np.array([[0, 5.0]]), id=["a"])
    watched.predict(np.array([[0, 5.0]]))
    ((features, said),) = monitor.tables
    assert features.names.tolist() == ["age", "income"]
    assert said["prediction"].tolist() == ["yes"]
    assert said["score"].tolist() == [{"no": 0.3, "yes": 0.7}]
    assert said["id"] == ["a"]


def test_a_model_without_the_method_is_told_at_once(monitor: Any) -> None:
    with pytest.raises(ValueError, match="object has no method 'predict'"):
        WatchedModel(monitor, object(), "predict")

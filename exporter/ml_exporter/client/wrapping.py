"""Functions and models that predict, each of whose predictions a Monitor observes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

if TYPE_CHECKING:
    from ml_exporter.client.monitor import Monitor

Function = TypeVar("Function", bound=Callable[..., Any])

# What a result may say.
_SAID = ("prediction", "score", "id", "version", "timestamp", "attributions", "ranked")


def observed(monitor: Monitor, function: Function) -> Function:
    """The function, whose calls are observed once they have returned.

    Its one argument is the features; of several, each is a feature by its name. What it returns is
    the prediction, or a mapping with `prediction` and, if there are, `score`, `id`, `version`,
    `timestamp`, `attributions` and `ranked`. A function may be asynchronous. What it raises is
    raised, and not observed.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    names = [parameter.name for parameter in parameters]
    defaults = {
        one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty
    }

    def observe(arguments: tuple[Any, ...], named: Mapping[str, Any], result: Any) -> None:
        try:
            values = arguments[-len(names) :] if len(arguments) > len(names) else arguments
            features = {**defaults, **dict(zip(names, values, strict=False)), **named}
            if len(names) == 1:
                (features,) = features.values()
            if isinstance(result, Mapping) and "prediction" in result:
                monitor.log(features, **{key: result[key] for key in _SAID if key in result})
            else:
                monitor.log(features, prediction=result)
        except Exception as error:
            monitor.failed(error)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*arguments: Any, **named: Any) -> Any:
            result = await function(*arguments, **named)
            observe(arguments, named, result)
            return result

        return cast(Function, asynchronous)

    @functools.wraps(function)
    def synchronous(*arguments: Any, **named: Any) -> Any:
        result = function(*arguments, **named)
        observe(arguments, named, result)
        return result

    return cast(Function, synchronous)


class WatchedModel:
    """A model of scikit-learn's kind, which it is in all but what it observes.

    Of `predict` the results are the predictions. Of `predict_proba` they are the scores, and the
    class of the highest one is the prediction. The other method passes unobserved, lest a
    prediction be counted twice.
    """

    def __init__(
        self, monitor: Monitor, model: Any, method: Literal["predict", "predict_proba"]
    ) -> None:
        """Raises ValueError where the model has no such method."""
        if method not in ("predict", "predict_proba") or not hasattr(model, method):
            raise ValueError(f"{type(model).__name__} has no method {method!r} to observe")
        self._monitor = monitor
        self._model = model
        self._method = method

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_model" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._model, name)

    def __repr__(self) -> str:
        return f"WatchedModel({self._model!r})"

    def predict(self, X: Any, *, id: Any = None, **named: Any) -> Any:
        """What the model predicts; `id` is a column, by which labels may come later."""
        result = self._model.predict(X, **named)
        if self._method == "predict":
            self._log(X, result, None, id)
        return result

    def predict_proba(self, X: Any, *, id: Any = None, **named: Any) -> Any:
        """What the model makes of each class; `id` as of `predict`."""
        result = self._model.predict_proba(X, **named)
        if self._method == "predict_proba":
            try:
                classes = self._model.classes_
                prediction = classes[result.argmax(axis=1)]
                self._log(X, prediction, Scores(classes, result.copy()), id)
            except Exception as error:
                self._monitor.failed(error)
        return result

    def _log(self, features: Any, prediction: Any, score: Any, id: Any) -> None:
        names = getattr(self._model, "feature_names_in_", None)
        if not hasattr(features, "columns") and names is not None:
            features = Unnamed(names, features)
        self._monitor.log_many(features, prediction=prediction, score=score, id=id)


class Unnamed:
    """A table without names, which the model knows."""

    def __init__(self, names: Any, table: Any) -> None:
        self.names = names
        self.table = table

    def __getitem__(self, rows: slice) -> Unnamed:
        piece = self.table[rows]
        return Unnamed(self.names, piece.copy() if hasattr(piece, "copy") else piece)


class Scores:
    """The scores of all classes, a row a prediction."""

    def __init__(self, classes: Any, table: Any) -> None:
        self.classes = classes
        self.table = table

    def __getitem__(self, rows: slice) -> Scores:
        return Scores(self.classes, self.table[rows])

    def tolist(self) -> list[dict[Any, float]]:
        names = self.classes.tolist()
        return [dict(zip(names, row, strict=True)) for row in self.table.tolist()]

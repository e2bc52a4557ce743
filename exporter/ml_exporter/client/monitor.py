"""Monitor: what an application says about the predictions of one model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ml_exporter.client.hub import EXCHANGE, LABEL, ROW, TABLE
from ml_exporter.client.hubs import hub_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

    from ml_exporter.client.exchanges import Copied, Reading
    from ml_exporter.client.wrapping import WatchedModel

Function = TypeVar("Function", bound=Callable[..., Any])

PIECE = 1000  # rows of a table that are queued as one observation
QUEUE = 10_000  # observations
FIRST_SCRAPE_WAIT = 60.0  # seconds


class Monitor:
    """Counts the predictions of one model in the process that makes them.

    The arguments are the keys of a model in ml-exporter.yml, with the same meaning and values:
    docs/client.md has those that differ. No method that observes something raises or waits: what
    can't be taken is counted in `ml_exporter_observations_dropped_total`, and said once in the log.
    """

    def __init__(
        self,
        name: str,
        *,
        task: Literal["binary", "multiclass", "regression"],
        positive: object = None,
        version: str | Mapping[str, str] | None = None,
        baseline: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]] | None = None,
        learn: Mapping[str, int] | None = None,
        features: Sequence[str] | Mapping[str, object] | None = None,
        score: bool | Sequence[object] | None = None,
        attributions: bool | Sequence[str] | None = None,
        ranked: bool | int | None = None,
        types: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | bool | None = None,
        bins: int | None = None,
        segments: Sequence[object] | None = None,
        constraints: Mapping[str, Mapping[str, object]] | None = None,
        outcome_values: Mapping[str, object] | None = None,
        false_alarms: float | None = None,
        thresholds: Mapping[str, object] | None = None,
        mute: Sequence[Mapping[str, object]] | None = None,
        wait: str | None = None,
        notable: Mapping[str, object] | bool | None = None,
        state: str | os.PathLike[str] | None = None,
        queue: int = QUEUE,
        first_scrape_wait: float = FIRST_SCRAPE_WAIT,
    ) -> None:
        """Raises ValueError, with a line for each argument that is wrong.

        `features` are names, in the order of values that come without. `score` says that scores are
        logged: True of a binary model, that of the positive class; else the classes, in their
        order. `attributions` says that attributions are, of all features or of those in a list;
        `ranked` that recommended items are, and how many of them are looked at. `labels` says that
        labels come later, by id, and how long they are waited for. `state` is a folder that
        outlives the process, and that all workers of an application share.
        """
        from ml_exporter.client.arguments import model_of

        said = {
            "task": task,
            "positive": positive,
            "version": version,
            "baseline": baseline,
            "learn": learn,
            "features": features,
            "score": score,
            "attributions": attributions,
            "ranked": ranked,
            "types": types,
            "labels": labels,
            "bins": bins,
            "segments": segments,
            "constraints": constraints,
            "outcome_values": outcome_values,
            "false_alarms": false_alarms,
            "thresholds": thresholds,
            "mute": mute,
            "wait": wait,
            "notable": notable,
        }
        self._model = model_of(name, said)
        self.name = self._model.name
        self._hub = hub_of(
            None if state is None else Path(state),
            _positive_number("first_scrape_wait", first_scrape_wait),
            _whole_number("queue", queue),
        )
        self._hub.add(self._model)
        self._put = self._hub.put
        self._registries: list[CollectorRegistry] = []

    def log(
        self,
        features: Any,
        *,
        prediction: Any,
        score: Any = None,
        id: Any = None,
        label: Any = None,
        version: Any = None,
        timestamp: Any = None,
        attributions: Any = None,
        ranked: Any = None,
    ) -> None:
        """Observe a prediction.

        `features` are a mapping by name, a pandas Series, or values in the order of
        Monitor(features=...). `score` is a number, a mapping by class, or values in the order of
        Monitor(score=...). `timestamp` is seconds since 1970, a datetime or ISO 8601; now, if
        omitted. `attributions` are a mapping by feature, or values in the order of the features;
        `ranked` are the recommended items, the best one first.
        """
        try:
            now = time.time() if timestamp is None else timestamp
            copy = features.copy() if hasattr(features, "copy") else features
            row: tuple[Any, ...] = (copy, prediction, score, id, label, version, now)
            if attributions is not None or ranked is not None:
                row = (*row, _copied(attributions), _copied(ranked))
            self._put(self.name, ROW, row)
        except Exception as error:
            self.failed(error)

    def log_many(
        self,
        features: Any,
        *,
        prediction: Any,
        score: Any = None,
        id: Any = None,
        label: Any = None,
        version: Any = None,
        timestamp: Any = None,
        attributions: Any = None,
        ranked: Any = None,
    ) -> None:
        """Observe the predictions of a table: a DataFrame, a 2-D array, or a list of rows.

        It may be a mapping of names to columns, too, and so may `attributions`. The rest are
        columns, of one value a row, or of one list of items (`ranked`); `version` and `timestamp`
        may be one for all.
        """
        try:
            now = time.time() if timestamp is None else timestamp
            table = (features, prediction, score, id, label, version, now, attributions, ranked)
            rows = len(prediction)
            for start in range(0, rows, PIECE):
                piece = tuple(_piece(one, start) for one in table)
                self._put(self.name, TABLE, piece, min(PIECE, rows - start))
        except Exception as error:
            self.failed(error)

    def label(self, id: Any, label: Any, timestamp: Any = None) -> None:
        """Observe the true outcome of an earlier prediction, which needs Monitor(labels=...)."""
        try:
            if self._model.labels is None:
                raise ValueError("labels that come later need Monitor(labels={'wait': '30d'})")
            now = time.time() if timestamp is None else timestamp
            self._put(self.name, LABEL, (id, label, now))
        except Exception as error:
            self.failed(error)

    def observe(self, function: Function) -> Function:
        """Decorate a function that predicts: see `wrapping.observed`."""
        from ml_exporter.client.wrapping import observed

        return observed(self, function)

    def wrap(
        self, model: Any, method: Literal["predict", "predict_proba"] | None = None
    ) -> WatchedModel:
        """A model of scikit-learn's kind, each of whose predictions is observed.

        `method` is the one that is observed: predict_proba where scores are logged, else predict.
        """
        from ml_exporter.client.wrapping import WatchedModel

        classes = list(self._model.fields.scores)
        return WatchedModel(self, model, method or ("predict_proba" if classes else "predict"))

    def start_http_server(self, port: int, addr: str = "0.0.0.0") -> int:
        """Answer scrapes of http://addr:port/metrics, for all Monitors of this state; the port.

        With a state folder the process that counts answers, whichever of the workers that is.
        Raises OSError where the port is taken, and ValueError where another one is in use.
        """
        try:
            return self._hub.serve(addr, port)
        except OSError as error:
            raise OSError(
                error.errno,
                f"can't listen on {addr}:{port}: {error.strerror}; where several workers serve one"
                " application, give Monitor(state=...)",
            ) from None

    def register(self, registry: CollectorRegistry | None = None) -> None:
        """Expose all Monitors of this state in a registry of prometheus_client, once."""
        from prometheus_client import REGISTRY

        registry = registry or REGISTRY
        if not any(one is registry for one in self._registries):
            registry.register(self)
            self._registries.append(registry)

    def describe(self) -> list[Metric]:
        """A registry asks for names, lest it collect once more, which would count as a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The samples of all Monitors of this state; none while no process counts."""
        from ml_exporter.client.metrics import load

        try:
            samples, seen = self._hub.shown("samples")
        except OSError as error:
            self._hub.complain(f"no samples to show: {error}")
            return
        yield from load(samples)
        seen()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until what was observed so far has left this process's queue."""
        return self._hub.flush(timeout)

    def close(self) -> None:
        """Count what was observed, and watch the model no more."""
        for registry in self._registries:
            registry.unregister(self)
        self._registries.clear()
        self._hub.remove(self.name)

    def hand_over(self) -> None:
        """Count what was observed, and let another worker count, as this one is about to end."""
        if self._hub.state is None:
            self.flush()
        else:
            self._hub.close()

    def reading(self, fields: Mapping[str, object] | None, format: str) -> Reading:
        """How middleware reads bodies; raises ValueError."""
        from ml_exporter.client.exchanges import Reading

        return Reading(self._model, fields, format)

    def exchanged(self, reading: Reading, copied: Copied) -> None:
        """Observe a request and its response, which middleware has copied."""
        self._put(self.name, EXCHANGE, (reading, copied))

    def dropped(self, reason: str) -> None:
        """Count an observation that could not be taken."""
        self._hub.drop(reason)

    def failed(self, error: Exception) -> None:
        """Say once what kept something from being observed, and count it."""
        self._hub.drop("error")
        self._hub.complain(f"{self.name}: an observation failed: {type(error).__name__}: {error}")


def _copied(values: Any) -> Any:
    return values.copy() if hasattr(values, "copy") else values


def _piece(table: Any, start: int) -> Any:
    """Some rows of a table or a column, copied; what is one value for all is that."""
    if table is None or isinstance(table, str | int | float):
        return table
    if isinstance(table, Mapping):
        return {name: _piece(column, start) for name, column in table.items()}
    rows = slice(start, start + PIECE)
    piece = table.iloc[rows] if hasattr(table, "iloc") else table[rows]
    return piece.copy() if hasattr(piece, "copy") else piece


def _positive_number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError(f"Monitor: {name}: must be a number of seconds, not {value!r}")
    return float(value)


def _whole_number(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"Monitor: {name}: must be a whole number from 1 on, not {value!r}")
    return value

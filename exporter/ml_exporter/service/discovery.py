"""Models that nobody configured: what the first exchanges through the proxy say they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ml_exporter.batch import PREDICTION
from ml_exporter.capture import has_failed, model_of
from ml_exporter.config import completions
from ml_exporter.config.config import Config, Fields, Model, ProxySource, Task
from ml_exporter.config.proxy_settings import DEFAULT_FILE
from ml_exporter.formats import Layout, decoder
from ml_exporter.request_counts import OTHER_MODELS
from ml_exporter.sources.capture import Attachment
from ml_exporter.statistics.bins import INVALID, MISSING

log = logging.getLogger(__name__)

_ENOUGH = 100  # rows that tell what a model is
_PATIENCE = 30.0  # seconds after which fewer have to do
_MOST_CLASSES = 20  # of whole numbers; with more they are quantities
_MOST_READ = 4 << 20  # bytes
_LOOK_EVERY = 1.0  # seconds

_PREDICTED = "prediction"


def without_models() -> Config:
    """The configuration where there is no file."""
    return Config(path=Path(DEFAULT_FILE), models=())


class Discovery:
    """Watches for models that answer, and says what they are as soon as that can be told."""

    def __init__(self, attachment: Attachment, clock: Callable[[], float] = time.monotonic) -> None:
        self._attachment = attachment
        self._clock = clock
        self._looked_at = 0.0
        self._met_at: dict[str, float] = {}
        self._puzzling: set[str] = set()  # models of which the log says that they can't be told
        attachment.keep(self, 0)

    def look(self, known: Sequence[Model]) -> list[Model]:
        """The models that are new."""
        now = self._clock()
        capture = self._attachment.current()
        if capture is None or now - self._looked_at < _LOOK_EVERY:
            return []
        self._looked_at = now
        names = {OTHER_MODELS, *(model.name for model in known)}
        unknown = {
            place: name for place, name in enumerate(capture.counts.names()) if name not in names
        }
        if not unknown:
            self._attachment.keep(self, capture.written)
            return []
        try:
            frames, _ = capture.take(capture.read_to, _MOST_READ)
        except ValueError:
            frames = []
        found = []
        for place, name in unknown.items():
            mine = [frame for frame in frames if model_of(frame) == place and not has_failed(frame)]
            waited = now - self._met_at.setdefault(name, now)
            if model := _describe(mine, name, 1 if waited > _PATIENCE else _ENOUGH):
                found.append(model)
            elif mine and waited > _PATIENCE and name not in self._puzzling:
                self._puzzling.add(name)
                log.warning(
                    "what a model predicts can't be told from its answers: configure it",
                    extra={"model": name},
                )
        # What is found is read from here on, by the model's own source.
        self._attachment.keep(self, max(capture.read_to, capture.written - _MOST_READ))
        return found


def _describe(frames: Sequence[bytes], name: str, enough: int) -> Model | None:
    """What a model is, where so many rows of it are there to tell."""
    from ml_exporter.formats.captured import protocol_of  # who has no proxy needs no protocols

    if frames and protocol_of(frames[0]) == completions.FORMAT:
        return _language_model(name)
    layout = Layout({PREDICTION: _PREDICTED}, discover=True)
    batch = decoder("auto", layout, captured=ProxySource()).decode(b"".join(frames), False).batch
    if batch.rows < enough:
        return None
    column = batch.fields[PREDICTION]
    values = [one for one in column.categories.of_rows if one not in (MISSING, INVALID)]
    if not values:
        return None
    return Model(
        name=name,
        task=_task(values),
        source=ProxySource(),
        fields=Fields(prediction=_PREDICTED),
        place=(DEFAULT_FILE, f"models[{name}]"),
    )


def _language_model(name: str) -> Model:
    return Model(
        name=name,
        task="multiclass",
        source=ProxySource(format=completions.FORMAT),
        fields=Fields(
            prediction=completions.PREDICTION,
            features=completions.FEATURES,
            extracted=completions.EXTRACTED,
        ),
        place=(DEFAULT_FILE, f"models[{name}]"),
    )


def _task(values: Sequence[str]) -> Task:
    """Fractions and many numbers are quantities; a few, and words, are classes."""
    try:
        numbers = {float(value) for value in values}
    except ValueError:
        return "multiclass"
    is_quantity = len(numbers) > _MOST_CLASSES or any(not one.is_integer() for one in numbers)
    return "regression" if is_quantity else "multiclass"

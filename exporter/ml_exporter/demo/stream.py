"""The demo's prediction log: written at once or in real time, with labels that come later."""

from __future__ import annotations

import argparse
import heapq
import json
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from ml_exporter.demo.flights import CLASSES, FEATURES, Flights, MissingExtra, stretches

MODEL = "flight-delays"

RATE = 150.0  # rows a second
TICK = 0.1  # seconds

CONFIGURATION = """\
# Which of New York's flights arrive late? A model is asked at push-back, and the truth lands later.
models:
  - name: {model}
    version: "1"
    task: binary
    positive: late
    baseline: baseline.json
    source: {{type: file, path: logs/predictions-*.jsonl, format: jsonl}}
    fields:
      id: request_id
      timestamp: ts
      prediction: output.arrival
      score: output.probability
      features:
{features}
    labels:
      source: {{type: file, path: logs/arrivals-*.jsonl, format: jsonl}}
      fields: {{id: request_id, label: arrival}}
      wait: 1h
    thresholds:
      accuracy: {{warning: 0.87, critical: 0.82}}
      recall: {{warning: 0.6, critical: 0.5}}
state: {{path: state/}}
"""


def record(flights: Flights, index: int, moment: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    """Row `index` of a prediction log, and its label: the flights in turn, again and again."""
    flight = index % len(flights)
    identity = f"{moment:%Y%m%dT%H%M%S}-{index:08d}"
    prediction = {
        "request_id": identity,
        "ts": moment.isoformat(timespec="milliseconds"),
        "inputs": flights.inputs[flight],
        "output": {
            "arrival": CLASSES[int(flights.predicted[flight])],
            "probability": round(float(flights.probability[flight]), 6),
        },
    }
    return prediction, {"request_id": identity, "arrival": CLASSES[int(flights.late[flight])]}


def line(row: dict[str, Any]) -> str:
    return json.dumps(row, allow_nan=False, separators=(",", ":")) + "\n"


def write_log(
    predictions: Path,
    labels: Path,
    rows: int,
    *,
    drifted: bool = False,
    first: int = 0,
    start: datetime | None = None,
    rate: float = RATE,
) -> None:
    """Appends so many predictions and all their labels to two JSON Lines files, at once.

    They begin with row `first` at the time `start`, `rate` of them a second; without `start` the
    last one is of now. The same arguments write the same bytes.
    """
    flights = stretches().stormy if drifted else stretches().calm
    start = start or datetime.now(UTC) - timedelta(seconds=rows / rate)
    pairs = [
        record(flights, first + row, start + timedelta(seconds=row / rate)) for row in range(rows)
    ]
    with predictions.open("a") as log, labels.open("a") as truth:
        log.writelines(line(prediction) for prediction, _ in pairs)
        truth.writelines(line(label) for _, label in pairs)


def write_training(path: Path) -> None:
    """Writes the rows from which the baseline is made: predictions with their labels."""
    flights, start = stretches().baseline, datetime.now(UTC) - timedelta(days=7)
    with path.open("w") as log:
        for index in range(len(flights)):
            moment = start + timedelta(days=7 * index / len(flights))
            prediction, label = record(flights, index, moment)
            log.write(line(prediction | label))


def write_folder(folder: Path) -> Path:
    """Writes `training.jsonl` and an empty `logs/` into a folder; returns its `ml-exporter.yml`.

    `ml-exporter baseline` makes the `baseline.json` that the configuration names.
    """
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    write_training(folder / "training.jsonl")
    features = "\n".join(f"        {name}: inputs.{name}" for name in FEATURES)
    configuration = folder / "ml-exporter.yml"
    configuration.write_text(CONFIGURATION.format(model=MODEL, features=features))
    return configuration


class RollingLog:
    """Lines appended to numbered files, of which only the newest are kept."""

    def __init__(self, folder: Path, name: str, *, rows: int = 200_000, keep: int = 3) -> None:
        self._folder, self._name, self._rows, self._keep = folder, name, rows, keep
        self._written = 0
        self._paths: deque[Path] = deque()
        self._file: TextIO | None = None

    def write(self, lines: Sequence[str]) -> None:
        """Appends complete lines; the file can be read up to them when this returns."""
        if self._file is None or self._written >= self._rows:
            self._roll()
        assert self._file is not None
        self._file.writelines(lines)
        self._file.flush()
        self._written += len(lines)

    def _roll(self) -> None:
        self.close()
        path = self._folder / f"{self._name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.jsonl"
        self._file, self._written = path.open("a"), 0
        self._paths.append(path)
        if len(self._paths) > self._keep:
            self._paths.popleft().unlink(missing_ok=True)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def stream(
    logs: Path,
    stop: threading.Event,
    *,
    rate: float = RATE,
    drift_after: float = 60,
    label_delay: tuple[float, float] = (5, 20),
) -> None:
    """Writes the log in real time until `stop` is set: calm flights, then stormy ones.

    Predictions go to `logs/predictions-*.jsonl`; each label follows to `logs/arrivals-*.jsonl`
    within `label_delay`. All times are in seconds.
    """
    calm, stormy = stretches().calm, stretches().stormy
    predictions, labels = RollingLog(logs, "predictions"), RollingLog(logs, "arrivals")
    delay = random.Random(1)
    waiting: list[tuple[float, str]] = []  # labels by the time at which they are known
    written, begin = 0, time.monotonic()
    while not stop.wait(TICK):
        now = time.monotonic() - begin
        flights = calm if now < drift_after else stormy
        due = min(int(now * rate) - written, max(int(rate), 1))  # no flood after a machine's sleep
        lines = []
        for index in range(written, written + due):
            prediction, label = record(flights, index, datetime.now(UTC))
            lines.append(line(prediction))
            heapq.heappush(waiting, (now + delay.uniform(*label_delay), line(label)))
        predictions.write(lines)
        written += due
        known = []
        while waiting and waiting[0][0] <= now:
            known.append(heapq.heappop(waiting)[1])
        labels.write(known)
    predictions.close()
    labels.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ml_exporter.demo.stream",
        description="Write the demo's training data, configuration and live log into a folder.",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=float, default=RATE, help="rows a second (%(default)s)")
    parser.add_argument(
        "--drift-after", type=float, default=60, help="seconds of calm (%(default)s)"
    )
    options = parser.parse_args(arguments)

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        write_folder(options.folder)
    except MissingExtra as error:
        print(error, file=sys.stderr)
        return 1
    stream(options.folder / "logs", stop, rate=options.rate, drift_after=options.drift_after)
    return 0


if __name__ == "__main__":
    sys.exit(main())

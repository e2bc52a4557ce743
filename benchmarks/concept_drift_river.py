"""Detectors of river on streams of errors, in an interpreter that has it: `FOLDER`.

The folder has `NAME.npy`, errors of shape (runs, rows). Writes `NAME.json`: of each detector and
run the rows after which it found a change.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from river import drift

DETECTORS: dict[str, Callable[[], Any]] = {
    "ADWIN": drift.ADWIN,
    "Page-Hinkley": drift.PageHinkley,
    "DDM": drift.binary.DDM,
    "KSWIN": lambda: drift.KSWIN(seed=1),
}
MOST_RUNS = {"KSWIN": 3}  # it takes a fifth of a millisecond for each row


def changes(detector: Any, errors: list[int]) -> list[int]:
    found = []
    for row, error in enumerate(errors):
        detector.update(error)
        if detector.drift_detected:
            found.append(row)
    return found


def main(folder: Path) -> None:
    for path in folder.glob("*.npy"):
        runs = np.load(path).tolist()
        found = {
            name: [changes(make(), errors) for errors in runs[: MOST_RUNS.get(name)]]
            for name, make in DETECTORS.items()
        }
        path.with_suffix(".json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What Evidently, NannyML and Alibi Detect decide by default, in an interpreter that has them.

`FOLDER WINDOWS ROWS...`: each folder in it has `baseline.csv` and a pool (`detection_changes`), of
which the same windows are drawn as the exporter judges. Writes `peers.json` there: by tool, a list
of one decision a window for each `ROWS/CHANGE`; null where a tool can't be imported.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"

import numpy as np
import pandas as pd
from detection_changes import About, Pool, changes, read, window

Decisions = dict[str, list[bool]]
Windows = Mapping[int, Mapping[str, Sequence[pd.DataFrame]]]
_SLOWEST = 5000  # rows above which a tool that judges one window in seconds isn't asked


def evidently(about: About, baseline: pd.DataFrame, windows: Windows) -> dict[str, Decisions]:
    """Any column drifted; and its own rule for the data set, half of the columns."""
    tool, presets = (importlib.import_module(n) for n in ("evidently", "evidently.presets"))
    columns = tool.DataDefinition(
        numerical_columns=about.numbers, categorical_columns=about.categories
    )
    report = tool.Report([presets.DataDriftPreset()])
    reference = tool.Dataset.from_pandas(baseline, data_definition=columns)
    found: dict[str, Decisions] = {"Evidently": {}, "Evidently, half of the columns": {}}
    for rows, by_change in windows.items():
        if rows >= _SLOWEST:
            continue
        for change, frames in by_change.items():
            drifted = []
            for frame in frames:
                current = tool.Dataset.from_pandas(frame, data_definition=columns)
                seen = report.run(current, reference).dict()["metrics"][0]["value"]
                drifted.append(seen["count"])
            key, half = f"{rows}/{change}", len(baseline.columns) / 2
            found["Evidently"][key] = [count > 0 for count in drifted]
            found["Evidently, half of the columns"][key] = [count >= half for count in drifted]
    return found


def nannyml(about: About, baseline: pd.DataFrame, windows: Windows) -> dict[str, Decisions]:
    """Any column alerts, by Jensen-Shannon's distance."""
    tool = importlib.import_module("nannyml")
    columns = [*about.numbers, *about.categories]
    found: Decisions = {}
    for rows, by_change in windows.items():
        calculator = tool.UnivariateDriftCalculator(column_names=columns, chunk_size=rows)
        calculator.fit(baseline)
        for change, frames in by_change.items():
            every = pd.concat(frames, ignore_index=True)
            judged = calculator.calculate(every).filter(period="analysis").to_df()
            alerts = judged.loc[:, (slice(None), slice(None), "alert")].to_numpy(dtype=bool)
            found[f"{rows}/{change}"] = alerts.any(axis=1).tolist()
    return {"NannyML, Jensen-Shannon": found}


def alibi(about: About, baseline: pd.DataFrame, windows: Windows) -> dict[str, Decisions]:
    """Its tabular detector; it knows no missing values: a number's are the baseline's median."""
    tool = importlib.import_module("alibi_detect.cd")
    columns = [*about.numbers, *about.categories]
    medians = baseline[about.numbers].median()
    names = {
        column: {name: code for code, name in enumerate(sorted(baseline[column].dropna().unique()))}
        for column in about.categories
    }

    def array(frame: pd.DataFrame) -> Any:
        numbers = frame[about.numbers].astype(float).fillna(medians)
        codes = {
            column: frame[column].map(
                lambda value, known=known: known.get(value, len(known) + (value is None))
            )
            for column, known in names.items()
        }
        return pd.concat([numbers, pd.DataFrame(codes)], axis=1)[columns].to_numpy(dtype=float)

    which = {columns.index(column): None for column in about.categories}
    detector = tool.TabularDrift(array(baseline), categories_per_feature=which)
    found = {
        f"{rows}/{change}": [
            bool(detector.predict(array(frame))["data"]["is_drift"]) for frame in frames
        ]
        for rows, by_change in windows.items()
        for change, frames in by_change.items()
    }
    return {"Alibi Detect, tabular": found}


TOOLS: Mapping[str, Callable[[About, pd.DataFrame, Windows], dict[str, Decisions]]] = {
    "evidently": evidently,
    "nannyml": nannyml,
    "alibi_detect": alibi,
}


def main(folder: Path, count: int, sizes: Sequence[int]) -> None:
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        pool = Pool.load(case)
        baseline = read(case / "baseline.csv", pool.about)
        windows = {
            rows: {
                change: [window(pool, change, rows, number) for number in range(count)]
                for change in changes(rows)
            }
            for rows in sizes
        }
        found: dict[str, Decisions | None] = {}
        for module, decide in TOOLS.items():
            started = time.monotonic()
            try:
                importlib.import_module(module)
            except ImportError:
                found[module] = None
                continue
            found |= decide(pool.about, baseline, windows)
            print(f"{case.name}: {module} {time.monotonic() - started:.0f} s", file=sys.stderr)
        (case / "peers.json").write_text(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()
    np.seterr(all="ignore")
    main(Path(sys.argv[1]), int(sys.argv[2]), [int(rows) for rows in sys.argv[3:]])

"""A profile of a log by whylogs: `python whylogs_profile.py LOG PLAN`, in an interpreter with it.

whylogs needs NumPy 1, and so an environment of its own. Frames of pandas are what it profiles
fastest: https://docs.whylabs.ai/docs/integrations-pandas. Prints as JSON what its profile has in
common with the counts of the others: the rows, and how often a column is missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from whylogs.core import DatasetProfile

ROWS = 1 << 16  # of a frame


def profile(log: Path, plan: dict[str, Any]) -> dict[str, Any]:
    columns = [*plan["numbers"], *plan["categories"]]
    profile = DatasetProfile()
    for frame in frames(log, columns):
        profile.track(pandas=frame[columns])
    columns_seen = profile.view().get_columns()
    counts = {name: columns_seen[name].get_metric("counts") for name in columns}
    missing = {name: int(count.null.value) for name, count in counts.items()}
    return {"rows": int(counts[plan["prediction"]].n.value), "missing": missing}


def frames(log: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    if log.suffix == ".csv":
        yield from pd.read_csv(log, usecols=columns, chunksize=ROWS)
    elif log.suffix == ".parquet":
        from pyarrow import parquet

        for batch in parquet.ParquetFile(log).iter_batches(ROWS, columns=columns):
            yield batch.to_pandas()
    else:
        for frame in pd.read_json(log, lines=True, chunksize=ROWS, convert_dates=False):
            yield flat(frame)


def flat(frame: pd.DataFrame) -> pd.DataFrame:
    """With a column for each field of `inputs`, if there is such an object."""
    if "inputs" not in frame:
        return frame
    fields = pd.DataFrame(frame["inputs"].tolist(), index=frame.index)
    return frame.drop(columns="inputs").join(fields.add_prefix("inputs."))


if __name__ == "__main__":
    log, plan = map(Path, sys.argv[1:])
    print(json.dumps(profile(log, json.loads(plan.read_text()))))

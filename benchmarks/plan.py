"""What a peer is to count, read from a baseline: `python plan.py BASELINE`, as JSON.

{"numbers": {column: {"edges": [...], "bins": [...]}}, "categories": {column: [names]},
"prediction": column, "label": column, "classes": [names]}; `bins` are the names of what is
below the first edge, between each two, and above the last.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ml_exporter.baseline import baseline
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER

COLUMNS = {"prediction": "predicted"}  # of fields whose column has another name


def plan(path: Path) -> dict[str, Any]:
    profile = baseline.load(path)
    columns = {COLUMNS.get(field.name, field.name): field for field in profile.fields}
    return {
        "numbers": {
            column: {"edges": field.edges, "bins": field.ranked_bins}
            for column, field in columns.items()
            if field.edges is not None
        },
        "categories": {
            column: [name for name in field.bins if name not in (OTHER, MISSING, INVALID)]
            for column, field in columns.items()
            if field.edges is None
        },
        "prediction": "predicted",
        "label": "label",
        "classes": profile.classes,
    }


if __name__ == "__main__":
    print(json.dumps(plan(Path(sys.argv[1]))))

"""Runs a module as if no compiler had been at hand: no part in C can be imported.

`python tests/uncompiled.py ml_exporter COMMAND ...`, `python tests/uncompiled.py pytest ...`.
"""

import runpy
import sys
from pathlib import Path

for part in ("formats._scanner", "formats._pages", "statistics._counting", "proxy._plain"):
    sys.modules[f"ml_exporter.{part}"] = None  # type: ignore[assignment]

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

"""Runs a module or a script as if some libraries weren't installed.

`python tests/without.py msgspec,scipy pytest ...`, `python tests/without.py msgspec SCRIPT.py ...`.
"""

import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path


class Without(MetaPathFinder):
    """Finds nothing, and lets nobody else find these libraries."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if __name__ == "__main__":
    names, program = sys.argv[1:3]
    sys.meta_path.insert(0, Without(names.split(",")))
    sys.path[0] = str(Path(__file__).parents[1])
    del sys.argv[:2]
    run = runpy.run_path if program.endswith(".py") else runpy.run_module
    run(program, run_name="__main__")  # type: ignore[operator]

"""A module imports only from what stands above it in docs/architecture.md."""

import ast
import re

from tests.support import ROOT

PACKAGE = ROOT / "exporter" / "ml_exporter"
PAGE = (ROOT / "docs/architecture.md").read_text()


def floors() -> dict[str, int]:
    """The row of the house in which each module or folder of the package stands."""
    house = PAGE.split("## The house")[1].split("## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", house, re.MULTILINE)
    return {
        name.removesuffix("/").removesuffix(".py"): number
        for number, row in enumerate(rows)
        for name in re.findall(r"`([\w/.]+)`", row)
    }


def imports() -> set[tuple[str, str]]:
    """Which part of the package imports which other one."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ml_exporter"):
                _, *names = (node.module or "").split(".")
                for imported in names[:1] or [alias.name for alias in node.names]:
                    found.add((part, imported))
    return {(a, b) for a, b in found if a != b and not b.startswith("__")}


def test_the_house_has_every_module() -> None:
    parts = {
        path.name.removesuffix(".py")
        for path in PACKAGE.iterdir()
        if not path.name.startswith("__") and (path.suffix == ".py" or path.is_dir())
    }
    assert parts == floors().keys()


def test_nothing_is_imported_from_below() -> None:
    floor = floors()
    known = {pair for pair in imports() if not pair[0].startswith("__")}
    assert {(a, b) for a, b in known if floor[b] > floor[a]} == set()

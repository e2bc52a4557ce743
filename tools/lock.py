"""Writes the lock files: every requirement of pyproject.toml at one version, pinned by hash."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

HEADER = "# Written by `make lock` from pyproject.toml."

OPTIONS = [
    "--quiet",
    "--generate-hashes",
    "--allow-unsafe",  # setuptools is locked too: it builds the package without isolation
    "--strip-extras",
    "--no-annotate",
    "--no-header",
    "--no-emit-options",  # no index, mirror or folder of this machine in the files
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
]


def requirements(pyproject: dict[str, Any]) -> dict[str, list[str]]:
    """What each lock file is made from, each a superset of the one before."""
    project, groups = pyproject["project"], pyproject["dependency-groups"]
    run = pyproject["build-system"]["requires"] + project["dependencies"]
    demo = run + project["optional-dependencies"]["demo"]
    dev = (
        demo + project["optional-dependencies"]["dashboards"] + groups["dev"] + groups["benchmark"]
    )
    return {
        "requirements.lock": run,
        "requirements-demo.lock": demo,
        "requirements-dev.lock": dev,
    }


def main(*arguments: str) -> None:
    """Locks from the largest set down, so that all files agree on every version.

    Versions that are locked stay, unless `arguments` (of pip-compile) say `--upgrade`.
    """
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    constraint: list[str] = []
    for name, lines in reversed(requirements(pyproject).items()):
        command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *constraint, *arguments]
        subprocess.run(
            [*command, f"--output-file={name}", "-"],
            input="\n".join(lines),
            text=True,
            cwd=ROOT,
            check=True,
        )
        constraint = ["--constraint", name]
        path = ROOT / name
        pins = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
        path.write_text("\n".join([HEADER, *pins, ""]))


if __name__ == "__main__":
    main(*sys.argv[1:])

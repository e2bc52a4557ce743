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
    """What each lock file is made from; the first has all that is in the others."""
    extras, groups = pyproject["project"]["optional-dependencies"], pyproject["dependency-groups"]
    run = pyproject["build-system"]["requires"] + pyproject["project"]["dependencies"]
    inputs = [
        line for name in ("kafka", "parquet", "redis", "sql", "zstd") for line in extras[name]
    ]
    dev = [*inputs, *extras["demo"], *extras["dashboards"], *groups["dev"], *groups["benchmark"]]
    return {
        "requirements-dev.lock": run + dev,
        "requirements-demo.lock": run + extras["demo"],
        "requirements-inputs.lock": run + inputs,
        "requirements.lock": run,
    }


def main(*arguments: str) -> None:
    """Locks the largest set first, so that all files agree on every version.

    Versions that are locked stay, unless `arguments` (of pip-compile) say `--upgrade`.
    """
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    constraint: list[str] = []
    for name, lines in requirements(pyproject).items():
        command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *constraint, *arguments]
        subprocess.run(
            [*command, f"--output-file={name}", "-"],
            input="\n".join(lines),
            text=True,
            cwd=ROOT,
            check=True,
        )
        constraint = constraint or ["--constraint", name]
        path = ROOT / name
        pins = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
        path.write_text("\n".join([HEADER, *pins, ""]))


if __name__ == "__main__":
    main(*sys.argv[1:])

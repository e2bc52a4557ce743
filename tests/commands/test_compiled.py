"""Where no compiler is at hand, the exporter installs all the same, and does the same."""

import logging
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from ml_exporter.cli import main
from ml_exporter.commands import compiled
from tests.support import ROOT

EXAMPLES = ("flights", "penguins", "sagemaker", "parquet")
HINT = "parts in C are not compiled"


def uncompiled(*command: str) -> subprocess.CompletedProcess[str]:
    """A module and its arguments, in a process that can import no part in C."""
    return subprocess.run(
        [sys.executable, ROOT / "tests/uncompiled.py", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The configuration of an example; `parquet` are the penguins in another format."""
    name = "penguins" if request.param == "parquet" else request.param
    shutil.copytree(ROOT / "examples" / name, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "ml-exporter.yml"
    if request.param == "parquet":
        log = pyarrow.csv.read_csv(tmp_path / "log.csv")
        pyarrow.parquet.write_table(log, tmp_path / "log.parquet")
        path.write_text(path.read_text().replace("log.csv", "log.parquet"))
    return path


def counted(exposition: str) -> list[str]:
    """All samples but those of the exporter itself, and those that say when something was done."""
    others = re.compile("#|ml_exporter_|ml_last_prediction_timestamp_seconds")
    return [line for line in exposition.splitlines() if not others.match(line)]


@pytest.mark.parametrize("config", EXAMPLES, indirect=True)
def test_counts_are_the_same(config: Path, tmp_path: Path) -> None:
    in_c, in_python = tmp_path / "c.txt", tmp_path / "python.txt"
    run = ("run", "--once", f"--config.file={config}")
    assert main([*run, f"--output={in_c}"]) == 0
    done = uncompiled("ml_exporter", *run, f"--output={in_python}")
    assert done.returncode == 0, done.stderr
    assert HINT in done.stderr
    counts = counted(in_python.read_text())
    assert counts == counted(in_c.read_text())
    assert any(re.match(r"ml_predictions_total\{.* [1-9]\d*$", line) for line in counts)


def test_the_proxy_forwards_and_observes() -> None:
    done = uncompiled("pytest", "-q", "tests/proxy/test_connection.py")
    assert done.returncode == 0, done.stdout


def test_nothing_is_said_where_all_is_compiled(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        compiled.warn_of_missing()
    assert (compiled.missing(), caplog.messages) == ([], [])


def test_installs_without_a_compiler(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    built = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "exporter", tmp_path / "exporter", ignore=built)
    build = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", ".")
    subprocess.run(
        [sys.executable, *build, f"--wheel-dir={tmp_path}"],
        cwd=tmp_path,
        env={**os.environ, "CC": "/bin/false"},
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "ml_exporter/statistics/numpy_counting.py" in names
    assert [name for name in names if name.endswith(".so")] == []

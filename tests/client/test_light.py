"""An application needs NumPy and prometheus-client, and counts the same with nothing else."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support import ROOT

# All else that is installed with the exporter.
HIDDEN = ("bcrypt", "cheroot", "flask", "msgspec", "scipy", "uvloop", "yaml")
LIGHT = {"ml_exporter", "numpy", "prometheus_client"}
USED_IF_THERE = {"msgspec", "typing_extensions"}  # the second one by msgspec


def observing(folder: Path, *hidden: str) -> subprocess.Popen[str]:
    """An application that observes all that can be, as if some libraries weren't installed."""
    folder.mkdir()
    without = (ROOT / "tests/without.py", ",".join(hidden), ROOT / "tests/client/observing.py")
    command = [sys.executable, *map(str, without), str(folder)]
    environment = {"PYTHONPATH": str(ROOT / "exporter")}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def said(application: subprocess.Popen[str]) -> tuple[set[str], list[str]]:
    """The libraries that it took, and what it counted."""
    output, _ = application.communicate()
    assert application.returncode == 0
    libraries, *samples = output.splitlines()
    return {*libraries.split()} - {"cython_runtime"}, samples  # NumPy's own


def test_counts_are_the_same() -> None:
    with (
        TemporaryDirectory() as folder,  # a short one: a socket's path has no more than 100 bytes
        observing(Path(folder, "light"), *HIDDEN) as light,
        observing(Path(folder, "all")) as everything,
    ):
        (libraries, samples), (all_libraries, all_samples) = said(light), said(everything)
    assert (libraries, all_libraries) == (LIGHT, LIGHT | USED_IF_THERE)
    assert samples == all_samples
    counted = {
        line.partition('model="')[2].partition('"')[0]
        for line in samples
        if line.startswith("ml_predictions_total") and not line.endswith(" 0")
    }
    assert counted == {"odd", "given", "sagemaker", "requests", "classes", "workers"}


def test_the_tests_of_lines_and_of_baselines_pass_without_msgspec() -> None:
    tests = (
        "tests/client/test_lines.py",
        "tests/baseline/test_baseline.py",
        "tests/test_columns.py",
    )
    command = [sys.executable, "tests/without.py", "msgspec", "pytest", "-q", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

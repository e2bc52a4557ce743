"""The files that set up, check and release the project hold together."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ml_exporter import __version__
from tests.support import ROOT, find_tool

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = (
    *("requirements.lock", "requirements-inputs.lock", "requirements-demo.lock"),
    "requirements-dev.lock",
)
INPUTS = ("kafka", "parquet", "redis", "sql", "zstd")


def pins(lock: str) -> dict[str, str]:
    """Names and versions of a lock file."""
    return dict(re.findall(r"^(\S+)==(\S+) \\$", (ROOT / lock).read_text(), re.MULTILINE))


def wanted(lock: str) -> list[Requirement]:
    """What pyproject.toml asks for, of that which a lock file has to hold."""
    extras, groups = PYPROJECT["project"]["optional-dependencies"], PYPROJECT["dependency-groups"]
    lines = PYPROJECT["build-system"]["requires"] + PYPROJECT["project"]["dependencies"]
    if lock in ("requirements-inputs.lock", "requirements-dev.lock"):
        lines = lines + [line for name in INPUTS for line in extras[name]]
    if lock in ("requirements-demo.lock", "requirements-dev.lock"):
        lines = lines + extras["demo"]
    if lock == "requirements-dev.lock":
        lines = lines + extras["dashboards"] + groups["dev"] + groups["benchmark"]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_satisfies_pyproject(lock):
    locked = pins(lock)
    unmet = [
        str(requirement)
        for requirement in wanted(lock)
        if not requirement.specifier.contains(locked.get(canonicalize_name(requirement.name), ""))
    ]
    assert unmet == [], "run make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_versions_and_hashes_alone(lock):
    """No index, mirror or folder of the machine that wrote it."""
    for line in (ROOT / lock).read_text().splitlines()[1:]:
        assert re.fullmatch(r"[a-z0-9-]+==\S+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line)


def test_locks_agree():
    run, inputs, demo, dev = (pins(lock).items() for lock in LOCKS)
    assert run < inputs < dev
    assert run < demo < dev


def bill(lock: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """What tools/sbom.py makes of a lock file."""
    command = [sys.executable, "tools/sbom.py", lock]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=check)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_bill_of_materials_has_all_that_is_locked(lock):
    made = json.loads(bill(lock).stdout)
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.6", 1)
    ours = made["metadata"]["component"]
    assert (ours["name"], ours["version"]) == ("ml-exporter", __version__)
    assert ours["licenses"] == [{"expression": "Apache-2.0"}]
    components = made["components"]
    assert {one["name"]: one["version"] for one in components} == pins(lock)
    assert [one["name"] for one in components if not one["licenses"]] == []
    refs = {one["bom-ref"] for one in [ours, *components]}
    assert refs == {one["ref"] for one in made["dependencies"]}
    needed = {one["ref"]: one["dependsOn"] for one in made["dependencies"]}
    assert refs.issuperset(ref for of_one in needed.values() for ref in of_one)
    names = {
        requirement.name for requirement in map(Requirement, PYPROJECT["project"]["dependencies"])
    }
    assert {ref.split("/")[1].split("@")[0] for ref in needed[ours["bom-ref"]]} == names


def test_no_bill_is_made_of_what_is_not_installed(tmp_path):
    lock = tmp_path / "requirements.lock"
    for pin, error in (
        ("no-such-package==1.0", "no-such-package is not installed\n"),
        ("numpy==1.0", f"numpy is installed as {np.__version__}, and locked as 1.0\n"),
    ):
        lock.write_text(f"{pin} \\\n")
        made = bill(str(lock), check=False)
        assert (made.returncode, made.stdout, made.stderr) == (1, "", error)


PERMISSIVE = re.compile(
    r"(?i)\b(MIT|BSD|0BSD|Apache|Zlib|PSF-2\.0|CC0-1\.0)\b[^()]*|Python Software Foundation License"
)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-inputs.lock"])
def test_licences_of_what_the_images_for_production_have(lock):
    for one in json.loads(bill(lock).stdout)["components"]:
        for said in one["licenses"]:
            expression = said.get("expression") or said["license"]["name"]
            for licence in expression.split(" AND "):
                assert PERMISSIVE.fullmatch(licence), one["name"]


def test_what_is_installed_fits_together():
    accepts(sys.executable, "-m", "pip", "check")


def test_every_target_is_explained():
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    helped = subprocess.run(
        ["make", "--silent", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert phony
    assert [line.split()[0] for line in helped.splitlines()] == phony[1].split()


def test_ci_runs_the_tests():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec make test"


def test_python_that_is_missing_is_said(tmp_path):
    result = subprocess.run(
        [ROOT / "tools/venv", tmp_path / "venv"],
        env={**os.environ, "PYTHON": "no-such-python"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == (
        "no Python 3.11 or newer found: install one, or name it: make PYTHON=/path/to/python3\n"
    )


def accepts(*command: str | Path) -> None:
    """Holds that a tool finds nothing to say against the repository's files."""
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("promtool", ["promtool", "prometheus-2.42/promtool"])
def test_prometheus_accepts_its_configuration(promtool):
    accepts(find_tool(promtool), "check", "config", "prometheus/prometheus.yml")


def test_alertmanager_accepts_its_configuration():
    accepts(find_tool("amtool"), "check-config", "alertmanager/alertmanager.yml")

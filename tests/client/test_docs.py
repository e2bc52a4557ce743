"""docs/client.md is what the client does, and its example works."""

from __future__ import annotations

import ast
import csv
import importlib.util
import inspect
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest

from ml_exporter.client import Monitor, MonitorMiddleware
from ml_exporter.monitors.observations import REASONS
from tests.support import ROOT, free_port, get, wait_until

PAGE = (ROOT / "docs/client.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def rows(heading: str) -> set[str]:
    """The first column of the table in a section."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_every_argument_is_on_the_page() -> None:
    arguments = inspect.signature(Monitor).parameters.keys() - {"name"}
    section = PAGE.split("## A Monitor\n")[1].split("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", section)) >= arguments
    assert rows("A Monitor") <= arguments
    assert rows("What to say of a prediction") == inspect.signature(
        Monitor.log
    ).parameters.keys() - {"self"}
    of_middleware = inspect.signature(MonitorMiddleware).parameters.keys()
    assert rows("Requests") == of_middleware - {"app", "monitor"}


def test_every_reason_is_on_the_page() -> None:
    assert rows("Nothing waits") == set(REASONS)


def test_the_session_works(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    names: dict[str, Any] = {}
    exec(BLOCKS[0].replace("9464", str(port)), names)
    monitor = names["monitor"]
    assert monitor.flush()
    series = 'ml_predictions_total{model="credit",version="unversioned"} 0'
    wait_until(lambda: series in get(f"http://localhost:{port}/metrics")[1])
    monitor.close()


def test_every_block_is_python() -> None:
    for block in BLOCKS:
        ast.parse(block)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, int]]:
    port = free_port()
    with TemporaryDirectory() as folder:
        monkeypatch.setenv("STATE", str(Path(folder, "state")))
        monkeypatch.setenv("METRICS_PORT", str(port))
        path = ROOT / "examples/in-process/app.py"
        spec = importlib.util.spec_from_file_location("in_process_app", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module, port
        module.monitor.close()


def ask(app: Any, path: str, said: dict[str, Any]) -> Any:
    body = json.dumps(said).encode()
    environ = {
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    return json.loads(b"".join(app(environ, lambda status, headers: None)))


def test_the_example_counts_what_it_predicts(example: tuple[ModuleType, int]) -> None:
    module, port = example
    url = f"http://127.0.0.1:{port}/metrics"
    with open(ROOT / "examples/penguins/log.csv") as file:
        penguins = list(csv.DictReader(file))[:50]
    right = 0
    for penguin in penguins:
        said: dict[str, Any] = {name: penguin[name] for name in ("island", "sex")}
        for name in ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"):
            said[name] = float(penguin[name] or 0)
        answer = ask(module.app, "/predict", said)
        right += answer["prediction"] == penguin["species"]
        ask(module.app, "/label", {"id": answer["id"], "species": penguin["species"]})
    assert right > 40

    def counted(name: str, *labels: str) -> float:
        lines = get(url)[1].splitlines()
        found = (line for line in lines if line.startswith(name + "{"))
        return sum(float(one.split()[-1]) for one in found if all(label in one for label in labels))

    # Two scrapes see each series at 0 first.
    wait_until(lambda: counted("ml_predictions_total") == 50)
    wait_until(lambda: counted("ml_outcomes_total", 'correct="true"') == right)
    assert counted("ml_field_values_total", 'field="island"') == 50
    assert counted("ml_schema_violations_total") == 0

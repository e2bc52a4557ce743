"""What the client offers, and what it costs to import."""

import inspect
import subprocess
import sys

import ml_exporter
from ml_exporter import client
from ml_exporter.config.config import KEYS
from tests.support import ROOT

LIGHT = {"numpy", "prometheus_client"}
PROGRAM = """
import sys
{statement}
roots = {{name.partition(".")[0] for name, module in sys.modules.items() if module}}
print(*sorted(root for root in roots if root not in sys.stdlib_module_names))
"""


def imported(statement: str) -> set[str]:
    """What a fresh interpreter has imported, the standard library and ourselves aside."""
    command = [sys.executable, "-c", PROGRAM.format(statement=statement)]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "exporter")},
    )
    return {name for name in done.stdout.split() if not name.startswith(("ml_exporter", "_"))}


def test_the_public_names() -> None:
    assert client.__all__ == [
        "Monitor",
        "MonitorMiddleware",
        "MonitorWsgiMiddleware",
        "WatchedModel",
    ]
    assert ml_exporter.__all__ == ["Monitor", "__version__"]
    assert ml_exporter.Monitor is client.Monitor


def test_a_monitor_takes_every_key_of_a_model() -> None:
    arguments = inspect.signature(client.Monitor).parameters.keys()
    assert set(KEYS["model"]) - {"source", "fields"} <= arguments
    # What a row has in the configuration; features are `log`'s first argument.
    logged = inspect.signature(client.Monitor.log).parameters.keys()
    assert set(KEYS["fields"]) - {"trace"} <= logged


def test_to_import_it_costs_nothing() -> None:
    assert imported("from ml_exporter import Monitor") <= LIGHT
    assert imported("from ml_exporter.client import MonitorMiddleware") <= LIGHT


USED = """
sys.modules["msgspec"] = None  # it is used where it is installed
{hidden}
from ml_exporter import Monitor
monitor = Monitor("m", task="binary", positive="1", learn={{"rows": 50}}, first_scrape_wait=0)
monitor.start_http_server(0, "127.0.0.1")
for row in range(100):
    monitor.log({{"x": row}}, prediction="1")
{registered}
monitor.close()
"""


def test_to_use_it_takes_numpy() -> None:
    hidden = 'sys.modules["prometheus_client"] = None'
    assert imported(USED.format(hidden=hidden, registered="")) <= {"numpy"}


def test_to_register_it_takes_prometheus_client() -> None:
    assert imported(USED.format(hidden="", registered="monitor.register()")) <= LIGHT

"""Runs the demonstration: model, traffic, exporter, and what watches it, until Ctrl-C."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ml_exporter.baseline import baseline as baselines
from ml_exporter.commands.training import profile
from ml_exporter.config.config import load
from ml_exporter.config.units import parse_address
from ml_exporter.demo import servers
from ml_exporter.demo.flights import MissingExtra
from ml_exporter.demo.stream import stream, write_folder
from ml_exporter.monitors.figures import baseline_performance
from ml_exporter.rules import Timing
from ml_exporter.service.service import Service, Settings
from ml_exporter.web.server import ListenError

DRIFT_AFTER = 60.0  # seconds

# An hour lasts twenty seconds, a day one minute and a week two.
TIMING = Timing.shortened(2)


def demonstrate(address: str, web_config: str | None, telemetry_path: str, wait: float) -> int:
    """Run until SIGINT or SIGTERM; returns the exit code."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ml-exporter-demo-")))
        try:
            configuration = _prepare(folder)
            stack.enter_context(_traffic(folder / "logs"))
            service = Service(
                Settings(
                    config_file=str(configuration),
                    listen_address=address,
                    web_config_file=web_config,
                    telemetry_path=telemetry_path,
                    first_scrape_wait=wait,
                )
            )
        except (MissingExtra, ListenError) as error:
            print(error, file=sys.stderr)
            return 1
        started = servers.start(folder, f"127.0.0.1:{service.port}", TIMING, _say_alert)
        stack.callback(started.stop)
        _say_what_runs(address, service.port, started)
        service.run()
    _say("Stopped, and cleaned up.")
    return 0


@contextmanager
def _traffic(logs: Path) -> Iterator[None]:
    """The model answers requests, in a thread of its own."""
    stopping = threading.Event()
    traffic = threading.Thread(
        target=stream, args=(logs, stopping), kwargs={"drift_after": DRIFT_AFTER}
    )
    traffic.start()
    threading.Thread(target=_tell_of_drift, args=(stopping,), daemon=True).start()
    try:
        while len(list(logs.iterdir())) < 2:  # the log of labels, too
            time.sleep(0.05)
        yield
    finally:
        stopping.set()
        traffic.join()


def _prepare(folder: Path) -> Path:
    _say("Training a model on the flights of 2013 from New York: which will arrive late?")
    configuration = write_folder(folder)
    config = load(configuration)
    made, _ = profile(config.models[0], config.limits, str(folder / "training.jsonl"), "jsonl")
    (folder / "baseline.json").write_bytes(baselines.encode(made))
    figures, _ = baseline_performance(made, config.models[0].positive)
    shown = ("accuracy", "precision", "recall", "f1", "roc_auc")
    said = ", ".join(f"{metric} {figures[metric]:.2f}" for metric in shown)
    _say(f"Baseline of {made.rows:,} flights it has not seen: {said}.")
    return configuration


def _say_what_runs(address: str, port: int, started: servers.Servers) -> None:
    host = parse_address(address)[0]
    page = f"http://{'localhost' if host in ('', '0.0.0.0', '::') else host}:{port}"
    _say(f"Status page    {page}/")
    _say(f"Metrics        {page}/metrics")
    for name, url in sorted(started.addresses.items(), reverse=True):
        _say(f"{name:14} {url}")
    if not started.addresses:
        _say("Prometheus and Alertmanager are not installed; the page does without them.")
    _say(f"In {DRIFT_AFTER:.0f} seconds summer storms begin. Ctrl-C stops everything.")


def _tell_of_drift(stopping: threading.Event) -> None:
    if not stopping.wait(DRIFT_AFTER):
        _say("The storms are here, and two of the model's feeds begin to fail.")


def _say_alert(alert: dict[str, object]) -> None:
    labels, annotations = alert["labels"], alert["annotations"]
    assert isinstance(labels, dict)
    assert isinstance(annotations, dict)
    _say(f"{alert['status']:8} {labels.get('severity', ''):8} {annotations.get('summary', '')}")


def _say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)

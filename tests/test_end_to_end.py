"""The whole path on real servers: a log, the exporter, Prometheus, Alertmanager, a webhook.

The model and its flights are the demo's. Rules and Alertmanager's configuration are those of the
repository, with an hour that lasts twenty seconds and a day that lasts a minute.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_exporter.dashboards.queries import MAY_BE_EMPTY, panel_queries
from ml_exporter.demo.stream import write_folder, write_log
from ml_exporter.rules import Timing, write_alertmanager, write_rules
from tests.support import ROOT, find_tool, free_port, get, serving, wait_until

TIMING = Timing.shortened(2)
MODEL = "flight-delays"
SCREENSHOTS = ROOT / "tests" / "screenshots"
BEFORE_PROMETHEUS = 1000  # rows that are in the log when Prometheus starts
CHROMIUM = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--hide-scrollbars",
)

Row = dict[str, Any]


@dataclass
class Log:
    """A growing log of predictions and of labels, and what was written to it."""

    folder: Path
    rows: Iterator[tuple[Row, Row]]  # predictions and their labels, without end
    written: list[tuple[str, str]] = field(default_factory=list)  # actual, predicted

    def append(
        self,
        count: int,
        *,
        only: Callable[[Row], bool] = lambda row: True,
        mislabelled: bool = False,
    ) -> None:
        picked = (pair for pair in self.rows if only(pair[0]))
        with (
            (self.folder / "predictions-1.jsonl").open("a") as predictions,
            (self.folder / "arrivals-1.jsonl").open("a") as labels,
        ):
            for prediction, label in itertools.islice(picked, count):
                number = len(self.written)
                predicted, actual = prediction["output"]["arrival"], label["arrival"]
                if mislabelled:
                    actual = "late" if predicted == "on_time" else "on_time"
                id = f"flight-{number}"
                now = time.time()
                predictions.write(json.dumps(prediction | {"request_id": id, "ts": now}) + "\n")
                labels.write(json.dumps({"request_id": id, "arrival": actual}) + "\n")
                self.written.append((actual, predicted))

    @property
    def accuracy(self) -> float:
        return sum(a == p for a, p in self.written) / len(self.written)


@dataclass
class World:
    """The servers, and what came out of them."""

    log: Log
    exporter: str
    prometheus: str
    process: subprocess.Popen[bytes]
    notifications: list[dict[str, Any]]

    def query(self, expression: str) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({"query": expression})
        status, text = get(f"{self.prometheus}/api/v1/query?{query}")
        assert status == 200, text
        result: list[dict[str, Any]] = json.loads(text)["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        result = self.query(expression)
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert that was delivered, as often as it was."""
        return [alert for one in list(self.notifications) for alert in one["alerts"]]

    def names(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.alerts()}

    def feed_until(self, condition: Callable[[], bool], what: str, **rows: Any) -> None:
        """Append rows as a live model would, until something is so."""
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline, f"{what}; delivered were {self.names()}"
            self.log.append(100, **rows)
            time.sleep(0.5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with ExitStack() as stack:
        yield build_world(folder, stack)


def build_world(folder: Path, stack: ExitStack) -> World:
    config = write_folder(folder)
    exporter_command = [sys.executable, "-m", "ml_exporter"]
    subprocess.run(
        [
            *exporter_command,
            "baseline",
            f"--config.file={config}",
            f"--input={folder / 'training.jsonl'}",
            f"--output={folder / 'baseline.json'}",
        ],
        check=True,
    )
    log = Log(folder / "logs", calm_rows(folder))
    log.append(BEFORE_PROMETHEUS)
    notifications: list[dict[str, Any]] = []
    webhook = stack.enter_context(receiver(notifications))

    exporter = f"http://127.0.0.1:{free_port()}"
    process = stack.enter_context(
        serving(
            [
                *exporter_command,
                "run",
                f"--config.file={config}",
                f"--web.listen-address={exporter.removeprefix('http://')}",
                "--web.first-scrape-wait=5m",
            ],
            f"{exporter}/-/ready",
        )
    )
    alertmanager = f"127.0.0.1:{free_port()}"
    am_config = write_alertmanager(folder / "alertmanager", webhook, TIMING)
    stack.enter_context(
        serving(
            [
                find_tool("alertmanager"),
                f"--config.file={am_config}",
                f"--storage.path={folder / 'alertmanager' / 'data'}",
                f"--web.listen-address={alertmanager}",
                "--cluster.listen-address=",
            ],
            f"http://{alertmanager}/-/ready",
        )
    )
    # The exporter has been up for a while when Prometheus first sees it.
    time.sleep(3)
    prometheus = f"http://127.0.0.1:{free_port()}"
    write_rules(folder / "rules", TIMING)
    prometheus_config = folder / "prometheus.yml"
    prometheus_config.write_text(yaml.safe_dump(scraping(exporter, alertmanager)))
    stack.enter_context(
        serving(
            [
                find_tool("prometheus"),
                f"--config.file={prometheus_config}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={prometheus.removeprefix('http://')}",
            ],
            f"{prometheus}/-/ready",
        )
    )
    return World(log, exporter, prometheus, process, notifications)


def scraping(exporter: str, alertmanager: str) -> dict[str, Any]:
    """The repository's Prometheus configuration, for other addresses and a shorter minute."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    config["rule_files"] = ["rules/*.yml"]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [exporter.removeprefix("http://")]}]
        job.pop("scrape_interval", None)
    config["scrape_configs"] = [job for job in config["scrape_configs"] if job.get("honor_labels")]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    return config


def calm_rows(folder: Path) -> Iterator[tuple[Row, Row]]:
    """Flights of the model's own months, again and again, with what it said and what came true."""
    predictions, labels = folder / "calm.jsonl", folder / "calm-labels.jsonl"
    write_log(predictions, labels, 20_000)
    pairs = [
        (json.loads(prediction), json.loads(label))
        for prediction, label in zip(
            predictions.read_text().splitlines(), labels.read_text().splitlines(), strict=True
        )
    ]
    return itertools.cycle(pairs)


class receiver:
    """A webhook that keeps what it is sent."""

    def __init__(self, notifications: list[dict[str, Any]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                notifications.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def screenshot(world: World, name: str) -> str:
    """Keep a picture of the page; returns its document as the browser has it."""
    SCREENSHOTS.mkdir(exist_ok=True)
    browser = find_tool("chromium")
    profile = f"--user-data-dir={world.log.folder.parent / 'chromium'}"
    picture = f"--screenshot={SCREENSHOTS / name}"
    page = f"{world.exporter}/"
    subprocess.run(
        [browser, *CHROMIUM, profile, "--window-size=1200,1500", picture, page],
        check=True,
        capture_output=True,
    )
    assert (SCREENSHOTS / name).stat().st_size > 10_000
    dumped = subprocess.run(
        [browser, *CHROMIUM, profile, "--dump-dom", page],
        check=True,
        capture_output=True,
        text=True,
    )
    return dumped.stdout


# What else is told of where outcomes no longer follow from scores.
OF_WRONG_PREDICTIONS = {
    *("ConceptDrift", "ErrorRateRising", "SegmentUnderperforming", "SignalAnomaly"),
    "ModelWorthless",
}


def test_a_late_prometheus_misses_no_row(world: World) -> None:
    counted = f'model:predictions:24h{{model="{MODEL}"}}'
    wait_until(lambda: world.value(counted) == BEFORE_PROMETHEUS, 60, counted)


def test_a_calm_model_is_silent_and_its_figures_are_right(world: World) -> None:
    world.feed_until(lambda: len(world.log.written) >= 4000, "calm rows")
    labelled = f'model:labelled_predictions:24h{{model="{MODEL}"}}'
    wait_until(lambda: world.value(labelled) == len(world.log.written), 60, labelled)
    accuracy = f'model:accuracy:24h{{model="{MODEL}"}}'
    right = pytest.approx(world.log.accuracy, abs=1e-12)
    # A rule of another group may still hold the figure of the evaluation before.
    wait_until(lambda: world.value(accuracy) == right, 60, accuracy)
    assert world.query("field:significance:24h > 1") == []
    assert world.alerts() == []
    assert "Nothing is beyond its threshold" in screenshot(world, "calm.png")


def test_wrong_predictions_are_delivered_as_degraded_performance(world: World) -> None:
    world.feed_until(
        lambda: "ModelPerformanceDegraded" in world.names(), "mislabelled", mislabelled=True
    )
    alert = next(
        alert
        for alert in world.alerts()
        if alert["labels"]["alertname"] == "ModelPerformanceDegraded"
    )
    assert alert["labels"]["model"] == MODEL
    assert MODEL in alert["annotations"]["summary"]
    assert "accuracy" in alert["annotations"]["description"]
    assert world.names() <= {"ModelPerformanceDegraded", *OF_WRONG_PREDICTIONS}


def test_drifted_traffic_is_delivered_with_its_worst_feature(world: World) -> None:
    def evening(row: Row) -> bool:
        return bool(row["inputs"]["hour"] >= 17)

    world.feed_until(
        lambda: "FeatureDrift" in world.names(), "drifted", only=evening, mislabelled=True
    )
    alert = next(a for a in world.alerts() if a["labels"]["alertname"] == "FeatureDrift")
    assert "hour" in alert["annotations"]["summary"]
    first = alert["annotations"]["description"].split("\n- ")[1]
    assert first.startswith("hour: PSI ")
    drift = {"FeatureDrift", "PredictionDrift"}
    assert world.names() <= {"ModelPerformanceDegraded", *drift, *OF_WRONG_PREDICTIONS}
    page = screenshot(world, "drifted.png")
    assert "critical" in page
    assert "hour" in page


# A model whose predictions are in a log has no requests.
OF_THE_PROXY = {
    *("Requests per minute by status", "How long requests take", "How long the model takes"),
    "Requests that were not observed",
}
# Its rows lack nothing of what they should have, and nobody has seen a week of them.
WITHOUT_FAULT = OF_THE_PROXY | MAY_BE_EMPTY - {"Firing alerts", "Alerts over time"}


def test_every_panel_of_the_dashboard_has_data(world: World) -> None:
    dashboard = json.loads((ROOT / "grafana/dashboards/ml-exporter-overview.json").read_text())
    chosen = {"model": MODEL, "role": "feature", "field": "hour", "__rate_interval": "10s"}
    empty = [
        f"{title}: {expression}"
        for title, expression in panel_queries(dashboard, **chosen)
        if not world.query(expression) and title not in WITHOUT_FAULT
    ]
    assert empty == []


# What a binary model with one version and late labels has nothing to show for.
OF_OTHER_MODELS = {
    *("Mean reciprocal rank", "Accuracy among the first k", "Discounted gain among the first k"),
    *("Mean absolute error", "Root mean squared error", "Mean absolute percentage error", "R²"),
    *("Median absolute error", "90th percentile of the absolute error", "Bias"),
    *("Too much and too little", "Explained variance and R²", "Errors up to"),
    *("Estimated and realised mean absolute error", "Fairness of protected fields"),
    *("Segments of protected fields", "Gap to the champion"),
    *("Earned in the window", "Gains and losses", "Worth of a prediction"),
    *("What predictions rest on", "Order of the attributions"),
}


def test_the_panels_about_performance_have_data(world: World) -> None:
    dashboard = json.loads((ROOT / "grafana/dashboards/ml-exporter-performance.json").read_text())
    shown: dict[str, bool] = {}
    for title, expression in panel_queries(dashboard, model=MODEL, **{"__rate_interval": "10s"}):
        shown[title] = bool(world.query(expression)) or shown.get(title, False)
    assert {title for title, has_data in shown.items() if not has_data} == OF_OTHER_MODELS


def test_the_panels_about_drift_have_data(world: World) -> None:
    """But for bands and what is compared with a week before, which may need more of a history."""
    dashboard = json.loads((ROOT / "grafana/dashboards/ml-exporter-drift.json").read_text())
    shown: dict[str, bool] = {}
    for title, expression in panel_queries(dashboard, model=MODEL):
        shown[title] = bool(world.query(expression)) or shown.get(title, False)
    assert {title for title, has_data in shown.items() if has_data} >= {
        *("What kind of change is it?", "Scores and outcomes, looked at both ways"),
        *("Error rate by span", "Growth of the error rate", "Signals", "Band of $signal"),
        "Estimated less realised performance",
    }


def test_a_dead_exporter_is_delivered_alone(world: World) -> None:
    before = len(world.notifications)
    world.process.send_signal(signal.SIGKILL)
    wait_until(lambda: "ExporterDown" in world.names(), 60, "ExporterDown")
    firing = {
        alert["labels"]["alertname"]
        for one in world.notifications[before:]
        for alert in one["alerts"]
        if alert["status"] == "firing"
    }
    assert "PredictionsAbsent" not in firing

"""Targets for a real Prometheus to scrape, whose every answer a test decides."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlencode

from ml_exporter.rules import Timing, write_rules
from tests.support import find_tool, free_port, get, serving, wait_until

DOWN = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A Prometheus that stops hangs up on us: nothing to report."""


class Targets:
    """Serves `/NAME`: each scrape gets the next of that target's answers, then the last for ever.

    An answer is an exposition, or `DOWN` for a scrape that fails.
    """

    def __init__(self, answers: Mapping[str, Sequence[str | None]]) -> None:
        self.scrapes = dict.fromkeys(answers, 0)
        self._answers = dict(answers)
        targets = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answer = targets.next_answer(unquote(self.path.removeprefix("/")))
                body = b"" if answer is None else answer.encode()
                self.send_response(503 if answer is None else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def next_answer(self, name: str) -> str | None:
        answers = self._answers[name]
        answer = answers[min(self.scrapes[name], len(answers) - 1)]
        self.scrapes[name] += 1
        return answer

    def go_on(self, answers: Mapping[str, str]) -> None:
        """From now on each scrape of a target gets this."""
        self._answers |= {name: [answer] for name, answer in answers.items()}

    def finished(self) -> set[str]:
        """Names of the targets that have given all their answers."""
        return {name for name, count in self.scrapes.items() if count >= len(self._answers[name])}

    @contextmanager
    def serving(self) -> Iterator[Targets]:
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class Prometheus:
    """A running Prometheus that evaluates this repository's rules."""

    def __init__(self, url: str, discovery: Path) -> None:
        self.url = url
        self._discovery = discovery

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of an instant query."""
        status, text = get(f"{self.url}/api/v1/query?{urlencode({'query': expr})}")
        assert status == 200, text
        result = json.loads(text)["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def by(self, label: str, expr: str) -> dict[str, float]:
        """Values of an instant query by the value of one label."""
        return {labels.get(label, ""): value for labels, value in self.query(expr)}

    def samples(self, expr: str) -> list[tuple[dict[str, str], list[float]]]:
        """Labels and values of each series of a range, such as `up[1h]`."""
        status, text = get(f"{self.url}/api/v1/query?{urlencode({'query': expr})}")
        assert status == 200, text
        result = json.loads(text)["data"]["result"]
        return [(one["metric"], [float(value) for _, value in one["values"]]) for one in result]

    def scrape_address(self, address: str) -> None:
        """Sets that an exporter is scraped."""
        self._set_targets([{"targets": [address]}])

    def scrape(self, targets: Targets, names: Sequence[str]) -> None:
        """Sets what is scraped."""
        groups = [
            {
                "targets": [targets.address],
                "labels": {"__metrics_path__": f"/{name}", "instance": name},
            }
            for name in names
        ]
        self._set_targets(groups)

    def _set_targets(self, groups: Sequence[Mapping[str, object]]) -> None:
        written = self._discovery.with_suffix(".new")
        written.write_text(json.dumps(groups))
        written.replace(self._discovery)

    def missed_evaluations(self) -> int:
        return int(sum(self._of_groups("iterations_missed_total")))

    def wait_for_rules(self, timing: Timing) -> None:
        """Until all rules have seen what is scraped by now."""
        since = time.time() + timing.settle
        seen = "last_evaluation_timestamp_seconds"
        wait_until(lambda: min(self._of_groups(seen)) > since, 120, "an evaluation of all rules")

    def count(self, targets: Targets, timing: Timing, counted: Mapping[str, str]) -> None:
        """Scrape targets, which go on with these answers once all rules have seen them begin."""
        self.scrape(targets, list(counted))
        wait_until(lambda: min(targets.scrapes.values()) >= 2, 30, "scrapes")
        self.wait_for_rules(timing)
        targets.go_on(counted)

    def _of_groups(self, name: str) -> list[float]:
        """What Prometheus says of itself, by groups of rules."""
        _, text = get(f"{self.url}/metrics")
        start = f"prometheus_rule_group_{name}{{"
        return [
            float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start)
        ]


@contextmanager
def prometheus(
    program: str, folder: Path, timing: Timing, scrape_interval: float, *files: str
) -> Iterator[Prometheus]:
    """Runs one of the Prometheus programs on rules of that timing; nothing is scraped yet.

    `files` are the rule files that are needed, without their extension; by default all.
    """
    rules = [p for p in write_rules(folder / "rules", timing) if not files or p.stem in files]
    discovery = folder / "targets.json"
    discovery.write_text("[]")
    interval = f"{round(scrape_interval * 1000)}ms"
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {
                "job_name": "ml-exporter",
                "honor_labels": True,
                "file_sd_configs": [{"files": [str(discovery)]}],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        find_tool(program),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with serving(command, f"http://{address}/-/ready"):
        yield Prometheus(f"http://{address}", discovery)

"""Predictions worth a look that pass through the proxy: from a panel's exemplar to their lines."""

import http.client
import json
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from tests.proxy.sidecar import Sidecar
from tests.proxy.test_service import CREDIT, STATE, credit
from tests.support import find_tool, free_port, get, serving, wait_until

LOG = "notable_log: {path: notable.jsonl}\n"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
PAGES = ("/metrics", "/", "/api/v1/status")
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def odd(client: http.client.HTTPConnection, headers: dict[str, str]) -> None:
    """A prediction of what no baseline has."""
    body = json.dumps({"instances": [{"age": 412, "country": "XX"}]})
    client.request("POST", CREDIT, body, headers)
    assert client.getresponse().read() == b'{"predictions": [1]}'


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "notable.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def learned(sidecar: Sidecar) -> http.client.HTTPConnection:
    """A client of a sidecar that has learned what is usual."""
    sidecar.start()
    sidecar.wait()
    client = sidecar.client()
    assert credit(client, rows=50)[0] == 200
    wait_until(lambda: sidecar.samples("ml_field_values_total"))
    return client


def test_a_line_has_the_trace_of_its_request_and_no_payload(sidecar: Sidecar) -> None:
    sidecar.write(STATE + LOG)
    client = learned(sidecar)
    assert credit(client)[0] == 200  # as all others
    odd(client, PARENT)
    (line,) = wait_until(lambda: lines(sidecar.folder))
    assert line.pop("time").endswith("Z")
    assert line == {
        "model": "credit",
        "version": "unversioned",
        "trace_id": TRACE,
        "reasons": "out_of_range,unseen",
        "fields": {"age": "out_of_range", "country": "unseen"},
    }
    name = "ml_exporter_notable_lines_total"
    wait_until(lambda: sidecar.samples(name) == {"written": 1, "over_rate": 0, "failed": 0})
    assert sidecar.samples("ml_notable_predictions_total")["credit unseen"] == 1


def test_prometheus_stores_the_trace_as_an_exemplar(sidecar: Sidecar) -> None:
    sidecar.write(LOG)
    client = learned(sidecar)
    config = sidecar.folder / "prometheus.yml"
    exporter = f"127.0.0.1:{sidecar.web}"
    scrapes = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "ml", "static_configs": [{"targets": [exporter]}]}],
    }
    config.write_text(yaml.safe_dump(scrapes))
    address = f"127.0.0.1:{free_port()}"
    command = [
        find_tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={sidecar.folder / 'prometheus'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    ]
    with serving(command, f"http://{address}/-/ready"):
        odd(client, PARENT)

        def stored(name: str) -> list[dict[str, Any]]:
            query = f"query={name}&start=0&end=4e9"
            status, text = get(f"http://{address}/api/v1/query_exemplars?{query}")
            assert status == 200
            found = json.loads(text)["data"]
            return [one["exemplars"][0] | {"of": one["seriesLabels"]} for one in found]

        for name, labels in (
            ("ml_notable_predictions_total", {"reason": "unseen"}),
            ("ml_request_duration_seconds_bucket", {"model": "credit"}),
            ("ml_upstream_duration_seconds_bucket", {"model": "credit"}),
        ):
            wait_until(lambda name=name: stored(name), what=name)
            found = [one for one in stored(name) if labels.items() <= one["of"].items()]
            assert {one["labels"]["trace_id"] for one in found} == {TRACE}
        (bucket,) = stored("ml_request_duration_seconds_bucket")
        assert float(bucket["value"]) <= float(bucket["of"]["le"])


def test_requests_that_failed_have_lines_and_exemplars(sidecar: Sidecar) -> None:
    sidecar.write(LOG)
    learned(sidecar)
    for target, headers, code in (
        (f"{CREDIT}?key=secret", PARENT, 500),  # the model server says so
        (CREDIT, {"X-Request-Id": "order-17"}, 502),  # it gives up, and the proxy says so
    ):
        client = sidecar.client()
        client.request("POST", target, "no JSON", headers)
        assert client.getresponse().status == code
    wait_until(lambda: len(lines(sidecar.folder)) == 2)
    found = lines(sidecar.folder)
    assert all(line.pop("time").endswith("Z") and 0 < line.pop("seconds") < 30 for line in found)
    about = {"model": "credit", "version": "unversioned"}
    of = {"reasons": "failed_request", "method": "POST", "path": CREDIT}
    traces = {"500": TRACE, "502": "order-17"}
    assert found == [
        {**about, "trace_id": traces[code], **of, "code": int(code)} for code in traces
    ]

    def exemplars() -> dict[str, str]:
        _, text = get(f"http://127.0.0.1:{sidecar.web}/metrics", OPENMETRICS)
        return {
            one.labels["code"]: one.exemplar.labels["trace_id"]
            for family in parse(text)
            for one in family.samples
            if one.name == "ml_requests_total" and one.exemplar
        }

    wait_until(lambda: exemplars() == traces)
    assert sum(sidecar.samples("ml_rows_rejected_total").values()) == 0


def test_exemplars_are_in_openmetrics_alone(sidecar: Sidecar) -> None:
    sidecar.write(LOG)
    odd(learned(sidecar), {"X-Request-Id": "order-17"})
    url = f"http://127.0.0.1:{sidecar.web}/metrics"
    wait_until(lambda: "order-17" in get(url, OPENMETRICS)[1])
    exemplars = {
        (one.name, tuple(one.exemplar.labels.items()))
        for family in parse(get(url, OPENMETRICS)[1])
        for one in family.samples
        if one.exemplar
    }
    assert exemplars == {
        (name, (("trace_id", "order-17"),))
        for name in (
            "ml_notable_predictions_total",
            "ml_request_duration_seconds_bucket",
            "ml_upstream_duration_seconds_bucket",
        )
    }
    assert "order-17" not in get(url)[1]


def test_no_payload_is_in_a_log_or_on_a_page(sidecar: Sidecar) -> None:
    sidecar.write(STATE + LOG)
    client = learned(sidecar)
    secret = "hush-hush"
    for country in (secret, [secret]):
        body = json.dumps({"instances": [{"age": 412, "country": country}]})
        client.request("POST", CREDIT, body, {"Authorization": secret, "Cookie": secret})
        assert client.getresponse().read() == b'{"predictions": [1]}'
    client.request("POST", f"{CREDIT}?key={secret}", "{}")
    assert client.getresponse().read() == b"no such model"
    client = sidecar.client()
    client.request("POST", CREDIT, secret)  # no JSON: the model server gives up
    assert client.getresponse().status == 502
    wait_until(lambda: len(lines(sidecar.folder)) == 4)
    wait_until(lambda: sidecar.samples("ml_predictions_total")["credit"] == 52)
    url = f"http://127.0.0.1:{sidecar.web}"
    shown = [get(f"{url}{path}", headers) for path in PAGES for headers in ({}, OPENMETRICS)]
    assert {status for status, _ in shown} == {200}
    sidecar.output.seek(0)
    logged = sidecar.output.read().decode() + (sidecar.folder / "notable.jsonl").read_text()
    assert [text for text in (logged, *(text for _, text in shown)) if secret in text] == []

"""What can be held of the container files without a Docker engine (see docs/untested.md)."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import yaml

from ml_exporter import __version__
from tests.support import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict] = COMPOSE["services"]
DOCKERFILE = (ROOT / "exporter/Dockerfile").read_text().replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def mounts(service: str) -> list[tuple[str, str]]:
    """Source and target of each volume."""
    return [tuple(volume.split(":")[:2]) for volume in SERVICES[service].get("volumes", [])]


def settings(node: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Every scalar of a YAML document, with the key that it stands under."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from settings(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from settings(value, key)
    else:
        yield key, str(node)


def addresses() -> Iterator[tuple[str, str | None, int | None]]:
    """File, host and port of every server that the mounted configurations name."""
    for path in (
        ROOT / "prometheus/prometheus.yml",
        ROOT / "alertmanager/alertmanager.yml",
        *(ROOT / "grafana/provisioning/datasources").glob("*.y*ml"),
    ):
        for key, value in settings(yaml.safe_load(path.read_text())):
            if key in ("targets", "url"):
                url = urlsplit(value if "//" in value else f"//{value}")
                yield path.name, url.hostname, url.port


def test_every_mounted_path_exists():
    sources = [source for name in SERVICES for source, _ in mounts(name)]
    bound = [source for source in sources if source.startswith(".")]
    assert bound
    assert [source for source in bound if not (ROOT / source).exists()] == []
    assert {source for source in sources if source not in bound} == COMPOSE["volumes"].keys()


def test_addresses_are_those_of_services():
    named = list(addresses())
    assert {host for _, host, _ in named} >= {"exporter", "alertmanager", "prometheus"}
    for file, host, port in named:
        if host is None or "." in host or host == "localhost":  # elsewhere, or the server itself
            continue
        published = [entry.split(":")[-1] for entry in SERVICES[host]["ports"]]
        assert str(port) in published, f"{file}: {host} doesn't listen on {port}"


def test_grafana_finds_its_dashboards():
    targets = [target for _, target in mounts("grafana")]
    for path in (ROOT / "grafana/provisioning/dashboards").glob("*.y*ml"):
        for provider in yaml.safe_load(path.read_text())["providers"]:
            assert provider["options"]["path"] in targets


def test_ports_are_published_to_this_machine_alone():
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_pinned_and_hardened(name):
    service = SERVICES[name]
    tag = service["image"].partition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)
    if "build" in service:
        assert tag == __version__
        assert service["build"]["target"] in {
            stage.split(" AS ")[1] for stage in instructions("FROM")
        }
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_servers_are_the_tested_versions():
    """The tests run Prometheus 3.5 and Alertmanager 0.33: so do the containers."""
    assert SERVICES["prometheus"]["image"].startswith("prom/prometheus:v3.5.")
    assert SERVICES["alertmanager"]["image"].startswith("prom/alertmanager:v0.33.")


def test_image_copies_what_exists_and_is_sent():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    sources = [
        source
        for copy in instructions("COPY")
        if not copy.startswith("--from")
        for source in copy.split()[:-1]
    ]
    assert set(sources) == set(sent)
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_image_runs_as_a_number_and_installs_by_hash():
    assert instructions("USER") == ["10058:10058"]
    assert instructions("EXPOSE") == ["10058 10059 10060"]
    assert re.fullmatch(r"PYTHON=python:3\.\d+\.\d+-slim-\w+", instructions("ARG")[0])
    locked = [run for run in instructions("RUN") if "--requirement" in run]
    assert len(locked) == 3
    assert all("--require-hashes" in run for run in locked)


def test_every_image_has_a_bill_of_what_was_installed_last():
    stages = DOCKERFILE.split("\nFROM ")
    for stage in stages:
        locks = re.findall(r"--requirement (\S+)", stage)
        bills = re.findall(r"^RUN python tools/sbom\.py (\S+) > /opt/ml-exporter/", stage, re.M)
        assert bills == locks

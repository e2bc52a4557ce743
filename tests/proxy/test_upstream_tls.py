"""A model server over TLS: whom the proxy trusts, and what it says where it doesn't."""

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_exporter.config.config import ConfigError
from ml_exporter.config.proxy_settings import Endpoint, UpstreamTls, parse_upstream
from ml_exporter.proxy.upstream_tls import reason_of, upstream_context
from tests.proxy.certificates import make_certificate
from tests.proxy.sidecar import CONFIG, MODEL_SERVER, Sidecar
from tests.support import free_port, stop, wait_until

Serve = Callable[..., None]


@pytest.fixture
def serve(sidecar: Sidecar) -> Iterator[Serve]:
    """Starts a model server with files, and the proxy in front of it with some settings."""
    processes = []

    def start(files: str, settings: str, flags: tuple[str, ...] = ()) -> None:
        sidecar.upstream = free_port()
        command = [sys.executable, MODEL_SERVER, str(sidecar.upstream), *files.split()]
        processes.append(subprocess.Popen(command, cwd=sidecar.folder))
        wait_until(lambda: sidecar.is_listening(sidecar.upstream), what="the model server")
        if not sidecar.processes:
            config = CONFIG.replace("http://127.0.0.1:{upstream}", "https://127.0.0.1:{upstream}")
            sidecar.write(f"  upstream_tls: {{{settings}}}\n" if settings else "", config)
            sidecar.start(*flags)
            sidecar.wait()

    yield start
    for process in processes:
        stop(process)


def ask(sidecar: Sidecar) -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=30)
    body = json.dumps({"instances": [{"age": 41, "country": "DE"}]})
    client.request("POST", "/v1/models/credit:predict", body)
    response = client.getresponse()
    found = response.status, response.read()
    client.close()
    return found


def said(sidecar: Sidecar) -> str:
    sidecar.output.seek(0)
    text: str = sidecar.output.read().decode()
    return text


GOOD = 200, b'{"predictions": [1]}'
BAD = 502, b"the model server can't be reached\n"


def test_a_model_server_that_is_trusted(sidecar: Sidecar, serve: Serve) -> None:
    make_certificate(sidecar.folder)
    serve("cert.pem key.pem", "ca_file: cert.pem")
    assert [ask(sidecar) for _ in range(3)] == [GOOD] * 3
    assert sidecar.ready() == (200, "ready\n")
    client = sidecar.client()
    client.request("GET", "/zeros/1048576")
    assert len(client.getresponse().read()) == 1 << 20
    client.request("GET", "/events")
    assert client.getresponse().read() == b"data: 0\n\ndata: 1\n\n"
    wait_until(lambda: sidecar.samples("ml_predictions_total")["credit"] == 3)


def test_one_that_is_not_trusted_is_not_asked(sidecar: Sidecar, serve: Serve) -> None:
    make_certificate(sidecar.folder)
    serve("cert.pem key.pem", "")
    assert [ask(sidecar) for _ in range(5)] == [BAD] * 5
    assert sidecar.ready()[0] == 503
    assert "its certificate isn't trusted: self-signed certificate" in sidecar.ready()[1]
    lines = [line for line in said(sidecar).splitlines() if "can't be reached" in line]
    (line,) = lines  # not one a request
    assert "its certificate isn't trusted: self-signed certificate" in line


@pytest.mark.parametrize(
    ("settings", "expected", "log"),
    [
        ("ca_file: cert.pem", BAD, "IP address mismatch"),
        ("ca_file: cert.pem, server_name: model.internal", GOOD, ""),
        ("insecure_skip_verify: true", GOOD, ""),
        ("ca_file: cert.pem, server_name: other.internal", BAD, "Hostname mismatch"),
    ],
)
def test_the_name_of_a_certificate(
    settings: str, expected: tuple[int, bytes], log: str, sidecar: Sidecar, serve: Serve
) -> None:
    make_certificate(sidecar.folder, host="DNS:model.internal")
    serve("cert.pem key.pem", settings)
    assert ask(sidecar) == expected
    assert log in said(sidecar)


def test_the_proxy_shows_a_certificate_of_its_own(sidecar: Sidecar, serve: Serve) -> None:
    make_certificate(sidecar.folder)
    make_certificate(sidecar.folder, "proxy-")
    serve(
        "cert.pem key.pem proxy-cert.pem",
        "ca_file: cert.pem, cert_file: proxy-cert.pem, key_file: proxy-key.pem",
    )
    assert ask(sidecar) == GOOD
    make_certificate(sidecar.folder, "proxy-")  # the model server reads it anew, and so do we
    wait_until(lambda: ask(sidecar) == GOOD, 10)


def test_a_model_server_that_wants_a_certificate_gets_none(sidecar: Sidecar, serve: Serve) -> None:
    make_certificate(sidecar.folder)
    serve("cert.pem key.pem cert.pem", "ca_file: cert.pem")
    assert ask(sidecar)[0] == 502
    wait_until(lambda: "certificate required" in said(sidecar).lower())


def test_another_authority_is_taken_up(sidecar: Sidecar, serve: Serve) -> None:
    make_certificate(sidecar.folder)
    serve("cert.pem key.pem", "ca_file: ca.pem".replace("ca.pem", "cert.pem"))
    assert ask(sidecar) == GOOD
    make_certificate(sidecar.folder)
    wait_until(lambda: ask(sidecar) == GOOD, 10)
    (sidecar.folder / "cert.pem").unlink()
    wait_until(lambda: "can't be renewed yet" in said(sidecar))


def test_the_flag_takes_https_too(sidecar: Sidecar, serve: Serve) -> None:
    make_certificate(sidecar.folder)
    serve("cert.pem key.pem", "ca_file: cert.pem")
    (sidecar.folder / "ml-exporter.yml").unlink()
    stop(sidecar.processes[0], 60)
    sidecar.start(
        f"--proxy.upstream=https://127.0.0.1:{sidecar.upstream}",
        f"--proxy.listen-address=127.0.0.1:{sidecar.port}",
    )
    sidecar.wait()
    assert ask(sidecar) == BAD  # the system's authorities don't know it


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://model", Endpoint("model", 80)),
        ("https://model", Endpoint("model", 443, is_tls=True)),
        ("https://[::1]:8443/", Endpoint("::1", 8443, is_tls=True)),
    ],
)
def test_where_a_model_server_is(url: str, endpoint: Endpoint) -> None:
    assert parse_upstream(url) == endpoint


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"ca_file": "none.pem"}, "proxy.upstream_tls: no such file: '.*none.pem'"),
        ({"ca_file": "key.pem"}, "proxy.upstream_tls: no certificate"),
        ({"cert_file": "cert.pem", "key_file": "other-key.pem"}, "key values mismatch"),
        ({"cert_file": "cert.pem"}, "proxy.upstream_tls: "),
    ],
)
def test_files_that_can_t_be_used(settings: dict[str, str], error: str, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    make_certificate(tmp_path, "other-")
    tls = UpstreamTls(**{name: tmp_path / file for name, file in settings.items()})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=error):
        upstream_context(tls)


def test_reasons_are_in_words() -> None:
    assert reason_of(ConnectionRefusedError(111, "Connection refused")) == "connection refused"
    assert reason_of(OSError("all of them failed")) == "all of them failed"
    assert reason_of(ssl.SSLError(1, "x")) == "x"

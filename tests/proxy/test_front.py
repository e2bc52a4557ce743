"""The web configuration file of the proxy: TLS, client certificates, users, fields of answers."""

import asyncio
import base64
import http.client
import json
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest

from ml_exporter.access import Gate
from ml_exporter.capture import Capture
from ml_exporter.config.config import ConfigError
from ml_exporter.proxy.client import Client
from ml_exporter.proxy.front import make_front
from ml_exporter.proxy.guard import Guard, TooManyLogins
from ml_exporter.proxy.heads import with_fields
from tests.proxy.certificates import make_certificate
from tests.proxy.sidecar import Sidecar
from tests.proxy.wires import Pair, pair
from tests.support import wait_until

CREDIT = "/v1/models/credit:predict"
TLS = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
MUTUAL = """\
tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
  client_ca_file: client-cert.pem
  client_auth_type: RequireAndVerifyClientCert
"""


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def users(**passwords: str) -> str:
    return f"basic_auth_users: {json.dumps({n: hashed(p) for n, p in passwords.items()})}\n"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def replace(path: Path, text: str) -> None:
    """As whoever renews files does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def ask(
    client: http.client.HTTPConnection, **fields: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    body = json.dumps({"instances": [{"age": 41, "country": "DE"}]})
    client.request("POST", CREDIT, body, fields)
    response = client.getresponse()
    return response.status, response.headers, response.read()


@pytest.fixture
def front(sidecar: Sidecar) -> Callable[[str], Path]:
    """Starts the proxy with a web configuration file."""

    def start(text: str) -> Path:
        web = sidecar.folder / "proxy-web.yml"
        web.write_text(text)
        sidecar.write("  web_config: proxy-web.yml\n")
        sidecar.start()
        sidecar.wait()
        return web

    return start


def over_tls(sidecar: Sidecar, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    made = http.client.HTTPSConnection("127.0.0.1", sidecar.port, timeout=30, context=context)
    sidecar.clients.append(made)
    return made


def is_let_in(sidecar: Sidecar, context: ssl.SSLContext) -> bool:
    try:
        return ask(over_tls(sidecar, context))[0] == 200
    except OSError:
        return False


Start = Callable[[str], Path]


def test_certificates_are_renewed_while_requests_pass(sidecar: Sidecar, front: Start) -> None:
    before = make_certificate(sidecar.folder)
    front(TLS)
    first = over_tls(sidecar, before)
    assert ask(first)[0] == 200
    after = make_certificate(sidecar.folder)
    wait_until(lambda: is_let_in(sidecar, after), 10)
    assert not is_let_in(sidecar, before)
    assert ask(first)[0] == 200
    (sidecar.folder / "key.pem").write_text("no key")
    time.sleep(2)
    assert is_let_in(sidecar, after)
    assert ask(first)[0] == 200


def test_clients_need_a_certificate_of_the_authority_as_it_is_now(
    sidecar: Sidecar, front: Start
) -> None:
    trusting = make_certificate(sidecar.folder)
    make_certificate(sidecar.folder, "client-")
    front(MUTUAL)
    assert not is_let_in(sidecar, trusting)

    def shown() -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(sidecar.folder / "cert.pem"))
        made.load_cert_chain(sidecar.folder / "client-cert.pem", sidecar.folder / "client-key.pem")
        return made

    before = shown()
    assert is_let_in(sidecar, before)
    make_certificate(sidecar.folder, "client-")
    wait_until(lambda: is_let_in(sidecar, shown()), 10)
    assert not is_let_in(sidecar, before)  # of an authority that is gone


def test_users_are_asked_for_their_passwords(sidecar: Sidecar, front: Start) -> None:
    web = front(users(ada="lovelace"))
    client = sidecar.client()
    status, fields, text = ask(client)
    assert (status, text) == (401, b"a user and a password are needed\n")
    assert fields["WWW-Authenticate"].startswith("Basic realm=")
    for wrong in (basic("ada", "byron"), basic("eve", "lovelace"), "Bearer x", "Basic !"):
        assert ask(sidecar.client(), Authorization=wrong)[0] == 401
    right = basic("ada", "lovelace")
    for _ in range(3):
        assert ask(client, Authorization=right)[0] == 200
    assert ask(client)[0] == 401  # on the same connection
    wait_until(lambda: sidecar.samples("ml_requests_total").get("credit 401 POST") == 6)
    assert sidecar.samples("ml_requests_total")["credit 200 POST"] == 3
    assert sidecar.ready() == (200, "ready\n")  # probes need no login

    replace(web, users(grace="hopper"))
    wait_until(lambda: ask(sidecar.client(), Authorization=right)[0] == 401, 10)
    assert ask(sidecar.client(), Authorization=basic("grace", "hopper"))[0] == 200
    replace(web, "basic_auth_users: {grace: plain}\n")  # broken: what was stays
    time.sleep(2)
    assert ask(sidecar.client())[0] == 401
    web.unlink()
    time.sleep(2)
    assert ask(sidecar.client())[0] == 401


def test_a_slow_login_holds_up_nobody_else(sidecar: Sidecar, front: Start) -> None:
    """The one takes a second of another thread; the others are known."""
    front(f"basic_auth_users: {json.dumps({'ada': hashed('lovelace', 14)})}\n")
    right = basic("ada", "lovelace")
    client = sidecar.client()
    assert ask(client, Authorization=right)[0] == 200
    slow = sidecar.client()
    slow.request("POST", CREDIT, b"{}", {"Authorization": basic("ada", "byron")})
    for _ in range(20):
        assert ask(client, Authorization=right)[0] == 200
    assert slow.sock is not None
    slow.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        slow.sock.recv(1)  # twenty others have passed meanwhile
    slow.sock.setblocking(True)
    assert slow.getresponse().status == 401


def test_fields_are_added_to_answers(sidecar: Sidecar, front: Start) -> None:
    web = front("http_server_config: {headers: {X-Frame-Options: deny, X-XSS-Protection: '0'}}\n")
    client = sidecar.client()
    status, fields, body = ask(client)
    assert (status, body) == (200, b'{"predictions": [1]}')
    assert (fields["X-Frame-Options"], fields["X-XSS-Protection"]) == ("deny", "0")
    refused = sidecar.client()
    refused.putrequest("POST", CREDIT)
    refused.putheader("Content-Length", "x")
    refused.endheaders()
    assert refused.getresponse().headers["X-Frame-Options"] == "deny"
    replace(web, "http_server_config: {headers: {X-Frame-Options: sameorigin}}\n")
    wait_until(lambda: ask(client)[1]["X-Frame-Options"] == "sameorigin", 10)


def test_tls_may_begin_and_end(sidecar: Sidecar, front: Start) -> None:
    web = front("")
    assert ask(sidecar.client())[0] == 200
    trusting = make_certificate(sidecar.folder)
    replace(web, TLS)
    wait_until(lambda: is_let_in(sidecar, trusting), 10)
    replace(web, "")
    wait_until(lambda: not is_let_in(sidecar, trusting), 10)
    assert ask(sidecar.client())[0] == 200


def test_the_flag_wins(sidecar: Sidecar) -> None:
    (sidecar.folder / "other.yml").write_text(users(ada="lovelace"))
    (sidecar.folder / "proxy-web.yml").write_text("")
    sidecar.write("  web_config: proxy-web.yml\n")
    sidecar.start("--proxy.web.config.file=other.yml")
    sidecar.wait()
    assert ask(sidecar.client())[0] == 401
    assert ask(sidecar.client(), Authorization=basic("ada", "lovelace"))[0] == 200


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("basic_auth_users: {ada: lovelace}\n", "must be a bcrypt hash"),
        ("tls_server_config: {cert_file: none.pem, key_file: none.pem}\n", "no such file"),
        (
            'http_server_config: {headers: {X-Frame-Options: "a\\nb"}}\n',
            "X-Frame-Options: must be one line",
        ),
    ],
)
def test_a_file_that_can_t_be_used(text: str, error: str, tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=error):
        make_front(path)


def test_who_starts_with_such_a_file_does_not_start(sidecar: Sidecar) -> None:
    (sidecar.folder / "proxy-web.yml").write_text("basic_auth_users: {ada: lovelace}\n")
    sidecar.write("  web_config: proxy-web.yml\n")
    assert sidecar.start().wait(60) == 1
    sidecar.output.seek(0)
    assert "must be a bcrypt hash" in sidecar.output.read().decode()


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: 1\r\nX-F: deny\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nx-f: 1\r\n\r\n", b"HTTP/1.1 200 OK\r\nx-f: 1\r\n\r\n"),
        (b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 204 No\r\nX-F: deny\r\n\r\n"),
    ],
)
def test_what_the_model_server_says_itself_stays(head: bytes, expected: bytes) -> None:
    assert with_fields(head, ((b"X-F", b"deny"),)) == expected


# Without sockets

POST = b"POST /predict HTTP/1.1\r\nHost: model\r\nContent-Length: 5\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld"


def with_login(value: str, body: bytes = b"hello") -> bytes:
    return POST + f"Authorization: {value}\r\n\r\n".encode() + body


def guard() -> Guard:
    return Guard({"ada": hashed("lovelace").encode()})


def run(capture: Capture, then: Callable[[Pair, Guard], object]) -> Pair:
    async def within() -> Pair:
        wires = pair(capture)
        made = wires.shared.guard = guard()
        result = then(wires, made)
        if asyncio.iscoroutine(result):
            await result
        return wires

    return asyncio.run(within())


async def decided(client: Client) -> None:
    while client._login is not None:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("cut", [10, 60, 90, 125])
def test_a_request_waits_for_its_login_and_then_passes_whole(cut: int, capture: Capture) -> None:
    async def then(wires: Pair, made: Guard) -> None:
        sent = with_login(basic("ada", "lovelace"))
        wires.asks(sent + sent, [cut])
        assert wires.far.sent == b""
        assert not wires.near.is_read
        await decided(wires.client)
        assert wires.near.is_read
        assert wires.far.sent.count(b"hello") == 1
        wires.answers(OK)
        wires.answers(OK)
        assert wires.near.sent == OK * 2

    assert run(capture, then).requests == {("POST", 200): 2}


def test_each_answer_of_a_connection_has_the_fields(capture: Capture) -> None:
    wires = pair(capture)
    wires.client.fields = ((b"X-Frame-Options", b"deny"),)
    for _ in range(3):
        wires.asks(POST + b"\r\nhello")
        wires.answers(OK)
    assert wires.near.sent.count(b"\r\nX-Frame-Options: deny\r\n\r\nworld") == 3


def test_each_request_of_a_connection_needs_a_login(capture: Capture) -> None:
    async def then(wires: Pair, made: Guard) -> None:
        wires.asks(with_login(basic("ada", "lovelace")))
        await decided(wires.client)
        wires.answers(OK)
        wires.asks(POST + b"\r\nhello")
        await decided(wires.client)
        assert wires.near.sent.startswith(OK + b"HTTP/1.1 401 ")
        assert wires.near.end == "eof"

    assert run(capture, then).requests == {("POST", 200): 1, ("POST", 401): 1}


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"\r\nhello",
        with_login(basic("ada", "byron")),
        with_login(basic("ada", "lovelace") + "\r\nAuthorization: x"),
        with_login("Bearer lovelace"),
        with_login(""),
    ],
)
def test_nothing_of_a_request_passes_without_a_login(request_: bytes, capture: Capture) -> None:
    async def then(wires: Pair, made: Guard) -> None:
        wires.asks(request_)
        await decided(wires.client)
        assert wires.near.sent.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        assert b"\r\nWWW-Authenticate: Basic realm=" in wires.near.sent
        assert wires.far.sent == b""

    assert run(capture, then).requests == {("POST", 401): 1}


def test_who_can_t_be_checked_does_not_pass(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Gate, "decide", broken)

    async def then(wires: Pair, made: Guard) -> None:
        wires.asks(with_login(basic("ada", "lovelace")))
        await decided(wires.client)
        assert wires.near.sent.startswith(b"HTTP/1.1 503 ")
        assert wires.far.sent == b""

    run(capture, then)


def test_a_client_that_leaves_during_its_login(capture: Capture) -> None:
    async def then(wires: Pair, made: Guard) -> None:
        wires.asks(with_login(basic("ada", "lovelace")))
        wires.client.connection_lost(None)
        await asyncio.sleep(0.05)
        assert (wires.near.sent, wires.far.sent) == (b"", b"")

    run(capture, then)


def test_a_client_that_has_said_all_may_log_in(capture: Capture) -> None:
    async def then(wires: Pair, made: Guard) -> None:
        wires.asks(with_login(basic("ada", "lovelace")))
        assert wires.client.eof_received()
        await decided(wires.client)
        assert wires.far.end == "eof"
        wires.answers(OK)
        assert wires.near.sent == OK

    run(capture, then)


def test_logins_that_wait_are_bounded() -> None:
    async def flood() -> int:
        made = guard()
        head = with_login(basic("ada", "byron"))
        logins = [made.lets_in(head) for _ in range(200)]
        found = await asyncio.gather(*logins, return_exceptions=True)
        assert await made.lets_in(with_login(basic("ada", "lovelace")))
        assert made.knows(with_login(basic("ada", "lovelace")))
        assert not made.knows(head)
        return sum(isinstance(one, TooManyLogins) for one in found)

    assert asyncio.run(flood()) == 200 - 128

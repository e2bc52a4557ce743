import base64
import ssl
import subprocess
from pathlib import Path
from textwrap import dedent

import bcrypt
import pytest

from ml_exporter.access import Decision, Gate, Tls, WebConfig, load_web_config, ssl_context
from ml_exporter.config.config import Access, ConfigError, Token
from ml_exporter.config.roles import UserRole

ALLOW, UNAUTHORIZED, FORBIDDEN = Decision.ALLOW, Decision.UNAUTHORIZED, Decision.FORBIDDEN

SCRAPER: frozenset[UserRole] = frozenset({"scrape"})
INGESTER: frozenset[UserRole] = frozenset({"ingest"})
ADMIN: frozenset[UserRole] = frozenset({"admin"})
ACCESS = Access(
    tokens=(
        Token("t-scrape", SCRAPER),
        Token("t-ingest", INGESTER),
        Token("t-admin", ADMIN),
        Token("t-both", INGESTER | ADMIN),
    ),
    users={"ops": ADMIN},
)


def hashed(password: str) -> bytes:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4))


USERS = {"ops": hashed("opensesame"), "guest": hashed("visit:or"), "long": hashed("l" * 72)}


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


def basic(user: str, password: str) -> tuple[str, str]:
    return "authorization", "basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


FAR = "10.1.2.3"
NEAR = "127.0.0.1"


# Who may post


@pytest.mark.parametrize(
    ("peer", "header", "decision"),
    [
        (NEAR, None, ALLOW),
        ("127.8.9.10", None, ALLOW),
        ("::1", None, ALLOW),
        ("::ffff:127.0.0.1", None, ALLOW),
        ("::ffff:10.1.2.3", None, FORBIDDEN),
        (FAR, None, FORBIDDEN),
        ("fe80::1%eth0", None, FORBIDDEN),
        ("", None, FORBIDDEN),
        ("localhost", None, FORBIDDEN),
        (NEAR, "X-Forwarded-For", FORBIDDEN),
        (NEAR, "x-forwarded-for", FORBIDDEN),
        (NEAR, "X-Forwarded-Proto", FORBIDDEN),
        (NEAR, "Forwarded", FORBIDDEN),
        (NEAR, "X-Real-IP", FORBIDDEN),
        (NEAR, "Via", FORBIDDEN),
        (NEAR, "X-Envoy-Attempt-Count", FORBIDDEN),
        (NEAR, "Origin", FORBIDDEN),
        (NEAR, "User-Agent", ALLOW),
    ],
)
@pytest.mark.parametrize("role", ["ingest", "admin"])
@pytest.mark.parametrize("users", [{}, USERS])
def test_only_this_machine_may_post_without_credentials(
    role: UserRole, peer: str, header: str | None, decision: Decision, users: dict[str, bytes]
) -> None:
    headers = [(header, "")] if header else []
    assert Gate(ACCESS, users).decide(role, peer, headers) is decision


@pytest.mark.parametrize(
    ("credentials", "may_ingest", "may_reload"),
    [
        (bearer("t-ingest"), ALLOW, FORBIDDEN),
        (bearer("t-admin"), FORBIDDEN, ALLOW),
        (bearer("t-both"), ALLOW, ALLOW),
        (bearer("t-scrape"), FORBIDDEN, FORBIDDEN),
        (bearer("t-"), FORBIDDEN, FORBIDDEN),
        (bearer(""), FORBIDDEN, FORBIDDEN),
        (bearer("t\udcff"), FORBIDDEN, FORBIDDEN),
        (("AUTHORIZATION", "BEARER  t-both "), ALLOW, ALLOW),
        (("Authorization", "Digest t-both"), FORBIDDEN, FORBIDDEN),
        (("Authorization", "t-both"), FORBIDDEN, FORBIDDEN),
        (("X-Authorization", "Bearer t-both"), FORBIDDEN, FORBIDDEN),
        (basic("ops", "opensesame"), FORBIDDEN, ALLOW),
        (basic("ops", "open"), FORBIDDEN, FORBIDDEN),
        (basic("guest", "visit:or"), FORBIDDEN, FORBIDDEN),
        (basic("nobody", "opensesame"), FORBIDDEN, FORBIDDEN),
        (basic("nobody", "l" * 72), FORBIDDEN, FORBIDDEN),
    ],
)
def test_elsewhere_it_takes_the_role(
    credentials: tuple[str, str], may_ingest: Decision, may_reload: Decision
) -> None:
    gate = Gate(ACCESS, USERS)
    assert gate.decide("ingest", FAR, [credentials]) is may_ingest
    assert gate.decide("admin", FAR, [credentials]) is may_reload


def test_two_credentials_are_none() -> None:
    headers = [bearer("t-both"), bearer("t-both")]
    assert Gate(ACCESS, {}).decide("ingest", FAR, headers) is FORBIDDEN


def test_without_users_a_user_of_the_configuration_has_no_password() -> None:
    assert Gate(ACCESS, {}).decide("admin", FAR, [basic("ops", "")]) is FORBIDDEN


# Who may scrape


@pytest.mark.parametrize("headers", [[], [bearer("wrong")], [("X-Forwarded-For", FAR)]])
@pytest.mark.parametrize("peer", [NEAR, FAR, ""])
def test_without_users_everybody_may_scrape(peer: str, headers: list[tuple[str, str]]) -> None:
    assert Gate(ACCESS, {}).decide("scrape", peer, headers) is ALLOW


@pytest.mark.parametrize(
    ("credentials", "decision"),
    [
        (None, UNAUTHORIZED),
        (bearer("t-scrape"), ALLOW),
        (bearer("t-both"), UNAUTHORIZED),
        (basic("guest", "visit:or"), ALLOW),
        (basic("ops", "opensesame"), ALLOW),
        (basic("guest", "visit"), UNAUTHORIZED),
        (basic("guest", "visit\0or"), UNAUTHORIZED),
        (basic("", ""), UNAUTHORIZED),
        (basic("long", "l" * 72), ALLOW),
        (basic("long", "l" * 100), ALLOW),  # bcrypt has never looked further
        (basic("long", "l" * 71), UNAUTHORIZED),
        (("Authorization", "Basic"), UNAUTHORIZED),
        (("Authorization", "Basic !!!"), UNAUTHORIZED),
        (("Authorization", "Basic \xe9"), UNAUTHORIZED),
        (("Authorization", "Basic " + base64.b64encode(b"\xff:x").decode()), UNAUTHORIZED),
    ],
)
@pytest.mark.parametrize("peer", [NEAR, FAR])
def test_with_users_it_takes_one_of_them_or_a_token(
    peer: str, credentials: tuple[str, str] | None, decision: Decision
) -> None:
    headers = [credentials] if credentials else []
    assert Gate(ACCESS, USERS).decide("scrape", peer, headers) is decision


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The passwords that bcrypt is asked about."""
    passwords: list[bytes] = []
    checkpw = bcrypt.checkpw

    def recording(password: bytes, expected: bytes) -> bool:
        passwords.append(password)
        return checkpw(password, expected)

    monkeypatch.setattr(bcrypt, "checkpw", recording)
    return passwords


def test_bcrypt_sees_a_right_password_once_and_a_wrong_one_each_time(checked: list[bytes]) -> None:
    gate = Gate(ACCESS, USERS)
    for password in ("opensesame", "opensesame", "wrong", "wrong", "opensesame"):
        decision = gate.decide("scrape", FAR, [basic("ops", password)])
        assert decision is (ALLOW if password == "opensesame" else UNAUTHORIZED)
    assert checked == [b"opensesame", b"wrong", b"wrong"]


def test_a_user_that_is_unknown_costs_bcrypt_too(checked: list[bytes]) -> None:
    gate = Gate(ACCESS, USERS)
    for _ in range(2):
        headers = [basic("nobody", "opensesame")]
        assert gate.decide("scrape", FAR, headers) is UNAUTHORIZED
    assert checked == [b"opensesame", b"opensesame"]


# The web configuration file


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates that sign themselves, one with an encrypted key."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, encryption in (("server", ["-noenc"]), ("other", ["-passout", "pass:secret"])):
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=localhost"
        )
        files = ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt"]
        subprocess.run([*command.split(), *encryption, *files], check=True, capture_output=True)
    (folder / "empty.crt").touch()
    return folder


@pytest.fixture
def in_folder(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(certificates)
    return certificates


def load_text(text: str) -> WebConfig:
    Path("web.yml").write_text(dedent(text))
    return load_web_config("web.yml")


@pytest.mark.usefixtures("in_folder")
def test_an_empty_file_asks_for_nothing() -> None:
    assert load_text("# nothing yet\n") == WebConfig(tls=None, headers={}, users={})


def test_a_full_file(in_folder: Path) -> None:
    password = hashed("correct horse").decode()
    config = load_text(f"""\
        tls_server_config:
          cert_file: server.crt
          key_file: {in_folder}/server.key
          client_ca_file: other.crt
          client_auth_type: RequireAndVerifyClientCert
          min_version: TLS13
          prefer_server_cipher_suites: false
        http_server_config:
          http2: true
          headers: {{X-Frame-Options: deny}}
        basic_auth_users:
          prometheus: {password}
    """)
    assert config == WebConfig(
        tls=Tls(
            cert_file=in_folder / "server.crt",
            key_file=in_folder / "server.key",
            client_ca_file=in_folder / "other.crt",
            client_auth_type="RequireAndVerifyClientCert",
            min_version="TLS13",
            max_version="TLS13",
            prefer_server_cipher_suites=False,
        ),
        headers={"X-Frame-Options": "deny"},
        users={"prometheus": password.encode()},
    )
    assert password not in repr(config)


NOT_USABLE = (
    "1: tls_server_config: can't use certificate and key: one is not PEM, or the key has a password"
)
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key"


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("[]", ["1: must be a mapping, not a list"]),
        (
            "basic_auth_user: {}",
            ["1: basic_auth_user: unknown key; did you mean 'basic_auth_users'?"],
        ),
        (
            "rate_limit: {burst: 1}",
            ["1: rate_limit: is not supported: this version limits no rates"],
        ),
        (
            "tls_server_config: {cert: abc}",
            [
                "1: tls_server_config.cert: is not supported: a certificate is read from "
                "'cert_file' only",
                "1: tls_server_config.cert_file: is required",
                "1: tls_server_config.key_file: is required",
            ],
        ),
        (
            "tls_server_config:\n  cert_file: server.cert\n  key_file: .\n",
            [
                "2: tls_server_config.cert_file: no such file: '{folder}/server.cert'",
                "3: tls_server_config.key_file: is a directory, not a file: '{folder}'",
            ],
        ),
        (
            "tls_server_config: {cert_file: server.crt, key_file: other.key}",
            [NOT_USABLE],
        ),
        (
            "tls_server_config: {cert_file: server.crt, key_file: server.crt}",
            [NOT_USABLE],
        ),
        (
            "tls_server_config: {cert_file: empty.crt, key_file: server.key}",
            [NOT_USABLE],
        ),
        (
            "tls_server_config: {cert_file: other.crt, key_file: server.key}",
            ["1: tls_server_config: can't use certificate and key: key values mismatch"],
        ),
        (
            TLS + ", client_auth_type: RequireAndVerifyClientCert}",
            [
                "1: tls_server_config: 'client_auth_type: RequireAndVerifyClientCert' needs a "
                "'client_ca_file'"
            ],
        ),
        (
            TLS + ", client_ca_file: other.crt}",
            [
                "1: tls_server_config: 'client_ca_file' needs 'client_auth_type: "
                "RequireAndVerifyClientCert'"
            ],
        ),
        (
            TLS + ", client_ca_file: empty.crt, client_auth_type: VerifyClientCertIfGiven}",
            ["1: tls_server_config: can't use certificate and key: no certificate or crl found"],
        ),
        (
            TLS + ", client_auth_type: RequireAnyClientCert}",
            [
                "1: tls_server_config.client_auth_type: unknown value 'RequireAnyClientCert'; "
                "did you mean 'RequireAndVerifyClientCert'?"
            ],
        ),
        (
            TLS + ", min_version: TLS10}",
            ["1: tls_server_config.min_version: unknown value 'TLS10'; did you mean 'TLS13'?"],
        ),
        (
            TLS + ", min_version: TLS13, max_version: TLS12}",
            ["1: tls_server_config: no version is from TLS13 to TLS12"],
        ),
        (
            TLS + ", prefer_server_cipher_suites: maybe}",
            [
                "1: tls_server_config.prefer_server_cipher_suites: must be true or false, "
                "not 'maybe'"
            ],
        ),
        (
            "http_server_config: {headers: {X-Frame-Option: deny}}",
            [
                "1: http_server_config.headers.X-Frame-Option: unknown key; did you mean "
                "'X-Frame-Options'?"
            ],
        ),
        (
            "basic_auth_users: {ops: opensesame}",
            [
                "1: basic_auth_users.ops: must be a bcrypt hash, such as "
                "`htpasswd -nBC 10 NAME` prints"
            ],
        ),
        (
            'basic_auth_users: {"o:ps": ""}',
            [
                '1: basic_auth_users["o:ps"]: must not be empty',
                '1: basic_auth_users["o:ps"]: must not contain a colon, which ends the name in '
                "basic authentication",
            ],
        ),
    ],
)
def test_a_bad_file_has_these_errors(text: str, errors: list[str], in_folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert caught.value.errors == [f"web.yml:{e}".format(folder=in_folder) for e in errors]


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"/web\.yml: no such file$"):
        load_web_config(tmp_path / "web.yml")


def test_two_who_trust_each_other_shake_hands(in_folder: Path) -> None:
    tls = Tls(
        in_folder / "server.crt",
        in_folder / "server.key",
        client_ca_file=in_folder / "server.crt",
        client_auth_type="RequireAndVerifyClientCert",
        min_version="TLS12",
        max_version="TLS12",  # in which the client's certificate is part of the handshake
    )
    client = ssl.create_default_context(cafile=str(in_folder / "server.crt"))
    client.check_hostname = False
    with pytest.raises(ssl.SSLError, match="did not return a certificate"):
        shake_hands(ssl_context(tls), client)
    client.load_cert_chain(in_folder / "server.crt", in_folder / "server.key")
    assert shake_hands(ssl_context(tls), client) == "TLSv1.2"


def shake_hands(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> str | None:
    """The version that both sides agree on."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up)
    server = server_context.wrap_bio(up, down, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    return server.version()

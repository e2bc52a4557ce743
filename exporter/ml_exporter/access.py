"""Who may talk to the exporter, and how: the web configuration file, and the gate it sets up.

The file is exporter-toolkit's: https://github.com/prometheus/exporter-toolkit
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import re
import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal, get_args

import bcrypt

from ml_exporter.config.roles import Access, UserRole
from ml_exporter.config.yaml_file import describe_os_error, read_yaml
from ml_exporter.config.yaml_nodes import Node

__all__ = ["CHALLENGE", "PROBES", "Decision", "Gate", "Tls", "WebConfig", "load_web_config"]

ClientAuth = Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]
TlsVersion = Literal["TLS12", "TLS13"]

PROBES = frozenset({"/-/healthy", "/-/ready"})  # these need no login: don't ask the gate
CHALLENGE = 'Basic realm="ML Exporter", charset="UTF-8"'  # WWW-Authenticate of a 401

# Every key that we honour; docs/configuration.md has a section of the same name for each.
WEB_KEYS: dict[str, tuple[str, ...]] = {
    "web": ("tls_server_config", "http_server_config", "basic_auth_users"),
    "tls_server_config": (
        *("cert_file", "key_file", "client_ca_file", "client_auth_type"),
        *("min_version", "max_version", "prefer_server_cipher_suites"),
    ),
    "http_server_config": ("http2", "headers"),
    "headers": (
        *("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options"),
        *("X-XSS-Protection", "Strict-Transport-Security"),
    ),
}
# The other keys of exporter-toolkit: passing one over would leave open what it is to close.
REFUSED_WEB_KEYS: dict[str, dict[str, str]] = {
    "web": {"rate_limit": "this version limits no rates"},
    "tls_server_config": {
        "cert": "a certificate is read from 'cert_file' only",
        "key": "a key is read from 'key_file' only",
        "client_ca": "an authority is read from 'client_ca_file' only",
        "client_allowed_sans": "this version doesn't look at the names in client certificates",
        "cipher_suites": "this version uses the ciphers of OpenSSL",
        "curve_preferences": "this version uses the curves of OpenSSL",
    },
}

_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
TLS_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
_BCRYPT_LONGEST = 72  # bytes; bcrypt itself never looked at more

# A request with one of these was made by somebody behind the peer: a proxy's client, or, with
# Origin, the page of some site in a browser on this machine.
_FORWARDED = re.compile(r"forwarded|via|x-real-ip|origin|x-forwarded-.*|x-envoy-.*", re.IGNORECASE)


@dataclass(frozen=True)
class Tls:
    """Certificates and policy of the server; paths are absolute."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth_type: ClientAuth = "NoClientCert"
    min_version: TlsVersion = "TLS12"
    max_version: TlsVersion = "TLS13"
    prefer_server_cipher_suites: bool = True


@dataclass(frozen=True)
class WebConfig:
    """The web configuration file; `users` are their bcrypt hashes."""

    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # of every response
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def load_web_config(path: str | Path) -> WebConfig:
    """Read a web configuration file, and the certificates it names.

    Raises ConfigError with everything that is wrong in it. An empty file is a valid one.
    """
    root = read_yaml(str(path))
    if root is None:
        return WebConfig()
    section = root.mapping()
    section.check_keys(WEB_KEYS["web"], refused=REFUSED_WEB_KEYS["web"])
    folder = Path(path).parent.absolute()
    config = WebConfig(
        tls=section.read("tls_server_config", lambda node: _tls(node, folder), None),
        headers=section.read("http_server_config", _headers, {}),
        users=section.read("basic_auth_users", _users, {}),
    )
    root.document.check()
    return config


def _tls(node: Node, folder: Path) -> Tls:
    section = node.mapping()
    section.check_keys(WEB_KEYS["tls_server_config"], refused=REFUSED_WEB_KEYS["tls_server_config"])

    def file(node: Node) -> Path:
        path = folder / (name := node.text())
        try:
            if name:
                path.open("rb").close()
        except OSError as error:
            node.error(f"{describe_os_error(error)}: {str(path)!r}")
        return path

    def version(name: str, default: TlsVersion) -> TlsVersion:
        value = section.get(name)
        choice: TlsVersion | None = value.choice(get_args(TlsVersion)) if value else None
        return choice or default

    errors_before = len(node.document.problems)
    client_auth = section.read(
        "client_auth_type", lambda node: node.choice(get_args(ClientAuth)), None
    )
    tls = Tls(
        cert_file=file(section.require("cert_file")),
        key_file=file(section.require("key_file")),
        client_ca_file=section.read("client_ca_file", file, None),
        client_auth_type=client_auth or Tls.client_auth_type,
        min_version=version("min_version", Tls.min_version),
        max_version=version("max_version", Tls.max_version),
        prefer_server_cipher_suites=section.read(
            "prefer_server_cipher_suites", Node.boolean, Tls.prefer_server_cipher_suites
        ),
    )
    if len(node.document.problems) == errors_before:
        _check_tls(node, tls)
    return tls


def _check_tls(node: Node, tls: Tls) -> None:
    if tls.client_ca_file is None and tls.client_auth_type != "NoClientCert":
        node.error(f"'client_auth_type: {tls.client_auth_type}' needs a 'client_ca_file'")
    elif tls.client_ca_file is not None and tls.client_auth_type == "NoClientCert":
        node.error("'client_ca_file' needs 'client_auth_type: RequireAndVerifyClientCert'")
    elif tls.min_version > tls.max_version:
        node.error(f"no version is from {tls.min_version} to {tls.max_version}")
    else:
        try:
            ssl_context(tls)
        except ssl.SSLError as error:
            # OpenSSL has no reason where it would have to ask for a password.
            reason = (error.reason or "").lower().replace("_", " ")
            reason = reason or "one is not PEM, or the key has a password"
            node.error(f"can't use certificate and key: {reason}")


def _headers(node: Node) -> Mapping[str, str]:
    section = node.mapping()
    section.check_keys(WEB_KEYS["http_server_config"])
    section.read("http2", Node.boolean, False)  # we speak HTTP/1.1, which every client can
    headers = section.read("headers", Node.mapping, None)
    if headers is None:
        return {}
    headers.check_keys(WEB_KEYS["headers"])
    return {name.text(): value.text() for name, value in headers}


def _users(node: Node) -> Mapping[str, bytes]:
    users: dict[str, bytes] = {}
    for key, value in node.mapping():
        password = value.text()
        if password and not _BCRYPT.fullmatch(password):
            value.error("must be a bcrypt hash, such as `htpasswd -nBC 10 NAME` prints")
        if ":" in (name := key.text()):
            key.error("must not contain a colon, which ends the name in basic authentication")
        users[name] = password.encode()
    return users


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """What a server wraps its connections in, from the files as they are now.

    Raises OSError (ssl.SSLError is one) where they can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = TLS_VERSIONS[tls.min_version]
    context.maximum_version = TLS_VERSIONS[tls.max_version]
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    # Without a password OpenSSL would ask the terminal for that of an encrypted key.
    context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    if tls.client_ca_file is not None:
        context.load_verify_locations(tls.client_ca_file)
    context.verify_mode = _CLIENT_AUTH[tls.client_auth_type]
    return context


class Decision(Enum):
    """The gate's answer; its value is the HTTP status."""

    ALLOW = 200
    UNAUTHORIZED = 401  # with the header WWW-Authenticate: CHALLENGE
    FORBIDDEN = 403


class Gate:
    """Decides whether a request may do what a role does.

    To scrape, and to see pages, is open to all until there are users: then it takes any of
    them, or a token with the role. To post (`ingest`, `admin`) takes a user or token with the
    role, or a peer on this machine that speaks for itself.
    """

    def __init__(self, access: Access, users: Mapping[str, bytes]) -> None:
        self._tokens = [(_digest(token.token), token.roles) for token in access.tokens]
        self._roles = access.users
        self._users = users
        self._secret = os.urandom(32)
        # bcrypt takes 70 ms by design: a password that was right is remembered, one a user, and
        # one is checked at a time, so that a flood of wrong ones keeps no more than a core busy.
        self._verified: dict[str, bytes] = {}
        self._checking = threading.Lock()

    def decide(self, role: UserRole, peer: str, headers: Iterable[tuple[str, str]]) -> Decision:
        """`peer` is the address of the connection, `headers` are those of the request."""
        headers = list(headers)
        if role == "scrape":
            if not self._users or self._may(role, headers):
                return Decision.ALLOW
            return Decision.UNAUTHORIZED
        forwarded = any(_FORWARDED.fullmatch(name) for name, _ in headers)
        if (_is_loopback(peer) and not forwarded) or self._may(role, headers):
            return Decision.ALLOW
        return Decision.FORBIDDEN

    def _may(self, role: UserRole, headers: list[tuple[str, str]]) -> bool:
        credentials = [value for name, value in headers if name.lower() == "authorization"]
        if len(credentials) != 1:
            return False
        scheme, _, value = credentials[0].strip().partition(" ")
        match scheme.lower():
            case "bearer":
                return role in self._token_roles(value.strip())
            case "basic":
                user, password = _basic(value)
                if not self._is_user(user, password):
                    return False
                return role == "scrape" or role in self._roles.get(user, ())
        return False

    def _token_roles(self, token: str) -> set[UserRole]:
        given = _digest(token)
        # All are compared, so that the time taken doesn't tell which was near.
        matches = [roles for known, roles in self._tokens if hmac.compare_digest(known, given)]
        return {role for roles in matches for role in roles}

    def _is_user(self, user: str, password: bytes) -> bool:
        if not self._users:
            return False
        password = password[:_BCRYPT_LONGEST]
        fingerprint = hashlib.blake2b(password, key=self._secret).digest()
        if hmac.compare_digest(self._verified.get(user, b""), fingerprint):
            return True
        # An unknown user costs the same time as a known one.
        expected = self._users.get(user) or next(iter(self._users.values()))
        with self._checking:
            right = bcrypt.checkpw(password, expected) and user in self._users
        if right:
            self._verified[user] = fingerprint
        return right


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def _basic(value: str) -> tuple[str, bytes]:
    """User and password of basic authentication (RFC 7617); ("", b"") if it is malformed."""
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).partition(b":")
        return user.decode(), password
    except (binascii.Error, ValueError):
        return "", b""


def _is_loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback

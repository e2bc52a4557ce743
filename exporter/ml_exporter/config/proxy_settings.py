"""What the configuration says of the proxy: the section `proxy`, as a type."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from ml_exporter.config.units import parse_address, parse_header
from ml_exporter.config.yaml_nodes import Node

KEYS: dict[str, tuple[str, ...]] = {
    "proxy": (
        *("upstream", "listen_address", "health_address", "body_limit", "buffer", "share", "rate"),
        *("model", "upstream_tls"),
        *(
            "web_config",
            "capture",
            "drain",
            "grace",
            "client_timeout",
            "connect_timeout",
            "answer_timeout",
        ),
    ),
    "proxy_model": ("header", "field"),
    "upstream_tls": (
        *("ca_file", "cert_file", "key_file", "server_name", "min_version"),
        "insecure_skip_verify",
    ),
}

DEFAULT_FILE = "ml-exporter.yml"  # of the configuration
_SMALLEST_BUFFER, _LARGEST_BUFFER = 1 << 20, 4 << 30  # bytes
_PORTS = {"http": 80, "https": 443}
_BODIES = 4  # that the buffer must hold: a frame has two, and may have to begin at the start

TlsVersion = Literal["TLS12", "TLS13"]


class Endpoint(NamedTuple):
    """Where the model server is."""

    host: str
    port: int
    is_tls: bool = False

    def __str__(self) -> str:
        return f"{'https' if self.is_tls else 'http'}://{self.host}:{self.port}"


_NOWHERE = Endpoint("", 0)


@dataclass(frozen=True)
class UpstreamTls:
    """How a model server is known over TLS, and what it is shown; paths are absolute."""

    ca_file: Path | None = None  # None: the system's authorities
    cert_file: Path | None = None
    key_file: Path | None = None  # None: it is in the certificate's file
    server_name: str | None = None  # None: the host
    min_version: TlsVersion = "TLS12"
    insecure_skip_verify: bool = False
    line: int = field(default=1, compare=False, repr=False)  # in the configuration


@dataclass(frozen=True)
class ModelName:
    """Where a request says what its model is called; the header comes before the body."""

    header: str | None = None
    field: str | None = None  # a dotted path in the JSON of its body


@dataclass(frozen=True)
class ProxySettings:
    """How requests get to the model server, and how much of them is copied."""

    upstream: Endpoint = _NOWHERE
    upstream_tls: UpstreamTls = UpstreamTls()
    listen_address: str = ":10059"
    health_address: str = ":10060"
    body_limit: int = 1 << 20  # bytes of a request or a response; larger ones aren't observed
    buffer: int = 64 << 20  # bytes between proxy and telemetry
    share: float = 1.0  # of the exchanges that are observed
    rate: float | None = None  # exchanges a second that are observed at most
    model: ModelName = ModelName()  # without either, the path tells
    web_config: Path | None = None  # absolute; certificates that clients are shown
    web_config_line: int = field(default=1, compare=False, repr=False)  # in the configuration
    capture: Path | None = None  # absolute; where proxy and telemetry that are apart share memory
    drain: float = 5.0  # seconds between the probe's no and the end of listening
    grace: float = 30.0  # seconds that requests in flight then have
    client_timeout: float = 60.0  # seconds
    connect_timeout: float = 5.0  # seconds
    answer_timeout: float = 600.0  # seconds

    @property
    def is_complete(self) -> bool:
        return self.upstream != _NOWHERE


def read_proxy(node: Node, folder: Path) -> ProxySettings:
    section = node.mapping()
    section.check_keys(KEYS["proxy"])
    default = ProxySettings()
    web_config = section.get("web_config")
    settings = ProxySettings(
        upstream=section.read("upstream", _upstream, default.upstream),
        upstream_tls=section.read(
            "upstream_tls", lambda node: _upstream_tls(node, folder), default.upstream_tls
        ),
        listen_address=section.read("listen_address", _address, default.listen_address),
        health_address=section.read("health_address", _address, default.health_address),
        body_limit=section.read("body_limit", Node.size, default.body_limit),
        buffer=section.read("buffer", _buffer, default.buffer),
        share=section.read("share", lambda node: node.number(0, 1), default.share),
        rate=section.read("rate", lambda node: node.number(0), default.rate),
        model=section.read("model", _model_name, default.model),
        web_config=section.read(
            "web_config", lambda node: folder / node.text(), default.web_config
        ),
        web_config_line=default.web_config_line if web_config is None else web_config.line,
        capture=section.read("capture", lambda node: folder / node.text(), default.capture),
        drain=section.read("drain", Node.duration, default.drain),
        grace=section.read("grace", Node.duration, default.grace),
        client_timeout=section.read("client_timeout", Node.duration, default.client_timeout),
        connect_timeout=section.read("connect_timeout", Node.duration, default.connect_timeout),
        answer_timeout=section.read("answer_timeout", Node.duration, default.answer_timeout),
    )
    if settings.is_complete and not settings.upstream.is_tls and section.get("upstream_tls"):
        section.require("upstream_tls").error("is for an upstream such as 'https://model:8443'")
    if settings.buffer < _BODIES * settings.body_limit:
        node.error("'buffer' must be at least four times 'body_limit', or a body can't be kept")
    return settings


@dataclass(frozen=True)
class ProxyFlags:
    """What the command line says of the proxy."""

    upstream: Endpoint | None = None
    listen_address: str | None = None
    web_config: Path | None = None


NO_FLAGS = ProxyFlags()


def with_flags(settings: ProxySettings | None, flags: ProxyFlags) -> ProxySettings | None:
    """The settings as the command line has them, which wins; None without any."""
    if flags.upstream is not None:
        settings = replace(settings or ProxySettings(), upstream=flags.upstream)
    if settings is not None and flags.listen_address is not None:
        settings = replace(settings, listen_address=flags.listen_address)
    if settings is not None and flags.web_config is not None:
        settings = replace(settings, web_config=flags.web_config.absolute())
    return settings


def parse_upstream(text: str) -> Endpoint:
    """Where `http://127.0.0.1:8080` or `https://model:8443` is; raises ValueError."""
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port or _PORTS.get(url.scheme, 0)
    except ValueError:
        host = ""
    if not host or url.scheme not in _PORTS:
        raise ValueError(f"{text!r} is no URL such as 'http://127.0.0.1:8080'")
    if url.path not in ("", "/") or url.query or url.fragment or url.username is not None:
        raise ValueError(f"{text!r} must be scheme, host and port: paths are the clients'")
    return Endpoint(host, port, url.scheme == "https")


def _upstream(node: Node) -> Endpoint:
    return node.parsed(parse_upstream, node.text(), _NOWHERE)


def _upstream_tls(node: Node, folder: Path) -> UpstreamTls:
    section = node.mapping()
    section.check_keys(KEYS["upstream_tls"])

    def file(name: str) -> Path | None:
        return section.read(name, lambda node: folder / node.text(), None)

    min_version = section.read("min_version", lambda node: node.choice(get_args(TlsVersion)), None)
    tls = UpstreamTls(
        ca_file=file("ca_file"),
        cert_file=file("cert_file"),
        key_file=file("key_file"),
        server_name=section.read("server_name", Node.text, None),
        min_version=min_version or UpstreamTls.min_version,
        insecure_skip_verify=section.read(
            "insecure_skip_verify", Node.boolean, UpstreamTls.insecure_skip_verify
        ),
        line=node.line,
    )
    if tls.key_file is not None and tls.cert_file is None:
        section.require("key_file").error("is of a 'cert_file', which is missing")
    return tls


def _model_name(node: Node) -> ModelName:
    section = node.mapping()
    section.check_keys(KEYS["proxy_model"])
    return ModelName(
        header=section.read(
            "header", lambda node: node.parsed(parse_header, node.text(), ""), None
        ),
        field=section.read("field", Node.text, None),
    )


def _address(node: Node) -> str:
    text = node.text()
    node.parsed(parse_address, text, ("", 0))
    return text


def _buffer(node: Node) -> int:
    size = node.size()
    if not _SMALLEST_BUFFER <= size <= _LARGEST_BUFFER:
        node.error("must be from 1MiB to 4GiB: it is memory")
    return size

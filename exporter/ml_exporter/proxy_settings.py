"""What the configuration says of the proxy: the section `proxy`, as a type."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from ml_exporter.units import parse_address, parse_header
from ml_exporter.yaml_nodes import Node

KEYS: dict[str, tuple[str, ...]] = {
    "proxy": (
        *("upstream", "listen_address", "health_address", "body_limit", "buffer", "share", "rate"),
        "model",
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
}

DEFAULT_FILE = "ml-exporter.yml"  # of the configuration
_SMALLEST_BUFFER, _LARGEST_BUFFER = 1 << 20, 4 << 30  # bytes
_BODIES = 4  # that the buffer must hold: a frame has two, and may have to begin at the start
_NOWHERE = ("", 0)


@dataclass(frozen=True)
class ModelName:
    """Where a request says what its model is called; the header comes before the body."""

    header: str | None = None
    field: str | None = None  # a dotted path in the JSON of its body


@dataclass(frozen=True)
class ProxySettings:
    """How requests get to the model server, and how much of them is copied."""

    upstream: tuple[str, int] = _NOWHERE  # host and port
    listen_address: str = ":10059"
    health_address: str = ":10060"
    body_limit: int = 1 << 20  # bytes of a request or a response; larger ones aren't observed
    buffer: int = 64 << 20  # bytes between proxy and telemetry
    share: float = 1.0  # of the exchanges that are observed
    rate: float | None = None  # exchanges a second that are observed at most
    model: ModelName = ModelName()  # without either, the path tells
    web_config: Path | None = None  # absolute; certificates that clients are shown
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
    settings = ProxySettings(
        upstream=section.read("upstream", _upstream, default.upstream),
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
        capture=section.read("capture", lambda node: folder / node.text(), default.capture),
        drain=section.read("drain", Node.duration, default.drain),
        grace=section.read("grace", Node.duration, default.grace),
        client_timeout=section.read("client_timeout", Node.duration, default.client_timeout),
        connect_timeout=section.read("connect_timeout", Node.duration, default.connect_timeout),
        answer_timeout=section.read("answer_timeout", Node.duration, default.answer_timeout),
    )
    if settings.buffer < _BODIES * settings.body_limit:
        node.error("'buffer' must be at least four times 'body_limit', or a body can't be kept")
    return settings


def with_flags(
    settings: ProxySettings | None, upstream: tuple[str, int] | None, listen_address: str | None
) -> ProxySettings | None:
    """The settings as the command line has them, which wins; None without any."""
    if upstream is not None:
        settings = replace(settings or ProxySettings(), upstream=upstream)
    if settings is not None and listen_address is not None:
        settings = replace(settings, listen_address=listen_address)
    return settings


def parse_upstream(text: str) -> tuple[str, int]:
    """Host and port of `http://127.0.0.1:8080`; raises ValueError."""
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port or 80
    except ValueError:
        host = ""
    if not host or url.scheme != "http":
        raise ValueError(f"{text!r} is no URL such as 'http://127.0.0.1:8080'")
    if url.path not in ("", "/") or url.query or url.fragment or url.username is not None:
        raise ValueError(f"{text!r} must be scheme, host and port: paths are the clients'")
    return host, port


def _upstream(node: Node) -> tuple[str, int]:
    return node.parsed(parse_upstream, node.text(), _NOWHERE)


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

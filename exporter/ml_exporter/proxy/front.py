"""What clients of the proxy meet: its certificates, who may ask, and fields of its answers."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ml_exporter.access import load_web_config, ssl_context
from ml_exporter.config.config import ConfigError
from ml_exporter.proxy.guard import Guard
from ml_exporter.proxy.heads import Fields


@dataclass(frozen=True)
class Front:
    """Of a web configuration file; without one, whoever comes may ask, in plain text."""

    context: ssl.SSLContext | None = None
    guard: Guard | None = None
    fields: Fields = ()
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    files: Sequence[Path] = ()


def make_front(path: Path | None, before: Front | None = None) -> Front:
    """Read a web configuration file and what it names; raises ConfigError.

    Where users are as they were `before`, whoever was let in is let in still.
    """
    if path is None:
        return Front()
    web = load_web_config(path)
    for name, value in web.headers.items():
        if not value.isprintable():
            raise ConfigError([f"{path}: http_server_config.headers.{name}: must be one line"])
    guard = None
    if web.users:
        is_same = before is not None and before.guard is not None and before.users == web.users
        guard = before.guard if before is not None and is_same else Guard(web.users)
    try:
        context = None if web.tls is None else ssl_context(web.tls)
    except OSError as error:  # a file that was there a moment ago
        raise ConfigError([f"{path}: tls_server_config: {error}"]) from None
    tls = web.tls
    named = () if tls is None else (tls.cert_file, tls.key_file, tls.client_ca_file)
    return Front(
        context=context,
        guard=guard,
        fields=tuple((name.encode(), value.encode()) for name, value in web.headers.items()),
        users=web.users,
        files=(path, *(one for one in named if one is not None)),
    )

"""The certificates that clients are shown, and their renewal while the proxy runs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ml_exporter.access import Tls, load_web_config, ssl_context
from ml_exporter.config import ConfigError

log = logging.getLogger(__name__)


class Certificates:
    """TLS as a web configuration file says it; connections from now on see what is renewed."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError."""
        self._tls = _read(path)
        self._seen = self._state()
        self.context = ssl_context(self._tls)

    def renew(self) -> None:
        """Take up a certificate and key that were replaced, once both can be used together."""
        state = self._state()
        if state == self._seen:
            return
        try:
            ssl_context(self._tls)
            self.context.load_cert_chain(self._tls.cert_file, self._tls.key_file, password="")
        except OSError as error:
            log.warning("a new certificate can't be used yet", extra={"error": error})
            return
        self._seen = state
        log.info("the proxy's certificate is renewed")

    def _state(self) -> list[tuple[int, int]]:
        """What changes when a file is replaced."""
        found = []
        for path in (self._tls.cert_file, self._tls.key_file):
            try:
                status = os.stat(path)
            except OSError:
                continue
            found.append((status.st_mtime_ns, status.st_ino))
        return found


def _read(path: Path) -> Tls:
    web = load_web_config(path)
    if web.users or web.headers:
        raise ConfigError([f"{path}: the proxy has 'tls_server_config' alone: it adds nothing"])
    if web.tls is None:
        raise ConfigError([f"{path}: tls_server_config: is missing"])
    return web.tls

"""Which planes a command runs, by its flags and the configuration."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_exporter.capture import Capture
from ml_exporter.config import config as configuration
from ml_exporter.config.config import Config, ConfigError, ProxySource
from ml_exporter.config.proxy_settings import DEFAULT_FILE, ProxyFlags, ProxySettings, with_flags
from ml_exporter.service.supervised import Role, inherited, is_orphan
from ml_exporter.sources.capture import Attachment

log = logging.getLogger(__name__)

_ENDING = 15.0  # seconds that the proxy has to end, beyond those for requests in flight


@dataclass(frozen=True)
class Plan:
    """What is to run: telemetry, and with settings a proxy, too."""

    config_file: str | None  # None: there is none
    config: Config | None  # what it says
    settings: ProxySettings | None
    flags: ProxyFlags

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of the configuration."""
        return () if self.config is None else self.config.notes

    @property
    def patience(self) -> float:
        """Seconds that the proxy has to end."""
        settings = self.settings or ProxySettings()
        return settings.drain + settings.grace + _ENDING

    def attachment(self) -> Attachment | None:
        """What telemetry reads of the proxy; raises CaptureError."""
        if capture := inherited():
            return Attachment(capture)
        return None if self.settings is None else Attachment(path=self.settings.capture)

    def run_proxy(self) -> None:
        """Forward until told to stop; raises ConfigError, CaptureError and ProxyError."""
        from ml_exporter.proxy.plane import Proxy

        assert self.settings is not None
        capture = inherited()
        if capture is None:
            assert self.settings.capture is not None
            capture = Capture.at(self.settings.capture, self.settings.buffer)
        _run(Proxy(capture, self._load, is_orphan).run())

    def _load(self) -> tuple[ProxySettings, list[tuple[str, str | None]] | None]:
        config = _config(self.config_file)
        settings = with_flags(_settings(config), self.flags)
        if settings is None or not settings.is_complete:
            raise ConfigError([_missing(self.config_file)])
        return settings, None if config is None else _behind(config)


def find_plan(config_file: str, flags: ProxyFlags, role: Role | None) -> Plan:
    """What the flags and the file ask for; raises ConfigError."""
    is_absent = config_file == DEFAULT_FILE and not Path(config_file).exists()
    file = None if flags.upstream is not None and is_absent else config_file
    config = _config(file)
    settings = with_flags(_settings(config), flags)
    wants_proxy = role == "proxy" or bool(_behind(config)) or settings is not None
    if wants_proxy and (settings is None or not settings.is_complete):
        raise ConfigError([_missing(file)])
    apart = role is not None and inherited() is None
    if apart and settings is not None and settings.capture is None:
        raise ConfigError([f"{file}:1: proxy.capture: is missing; planes that run apart share it"])
    return Plan(file, config, settings, flags)


def _config(file: str | None) -> Config | None:
    return None if file is None else configuration.load(file)


def _settings(config: Config | None) -> ProxySettings | None:
    return None if config is None else config.proxy


def _behind(config: Config | None) -> list[tuple[str, str | None]]:
    """Names and paths of the models behind the proxy."""
    return [
        (model.name, model.source.path)
        for model in (config.models if config is not None else ())
        if isinstance(model.source, ProxySource)
    ]


def _missing(file: str | None) -> str:
    return f"{file or DEFAULT_FILE}:1: proxy.upstream: is missing, and so is --proxy.upstream"


def _run(plane: Coroutine[None, None, None]) -> None:
    import asyncio

    try:
        import uvloop
    except ImportError:
        log.warning("uvloop is not installed: the proxy is slower than it could be")
        asyncio.run(plane)
    else:
        uvloop.run(plane)

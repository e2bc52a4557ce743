"""Starts the exporter, reloads it on SIGHUP, and stops it on SIGTERM."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import FrameType

from ml_exporter.access import Gate, WebConfig, load_web_config
from ml_exporter.config import config as configuration
from ml_exporter.config.config import Config, ConfigError
from ml_exporter.config.proxy_settings import NO_FLAGS, ProxyFlags
from ml_exporter.judgement.history import History
from ml_exporter.publication import Publication
from ml_exporter.service.discovery import Discovery, without_models
from ml_exporter.service.supervised import is_orphan
from ml_exporter.service.telemetry import Telemetry
from ml_exporter.sources.capture import Attachment
from ml_exporter.sources.spool import Spools
from ml_exporter.store.store import Store
from ml_exporter.web.app import Door, create_app
from ml_exporter.web.ingest import Inlets, ingest_pages, inlets
from ml_exporter.web.server import WebServer
from ml_exporter.web.status import status_pages

log = logging.getLogger(__name__)

_STOPPING = "the exporter is stopping"
_RELOAD_WAIT = 30.0  # seconds that a request to reload waits for its answer


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    config_file: str | None  # None: there is none, and models are discovered
    config: Config | None = None  # what the file says, where it is loaded already
    listen_address: str = ":10058"
    web_config_file: str | None = None
    telemetry_path: str = "/metrics"
    first_scrape_wait: float = 60.0  # seconds
    attachment: Attachment | None = None  # to the proxy
    proxy_flags: ProxyFlags = NO_FLAGS


class _Reload:
    """A wish for a reload, and its answer."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.done = threading.Event()


class Service:
    """The exporter as one process: a counting loop, and a web server beside it."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError, BaselineError, StateError and ListenError."""
        self._settings = settings
        attachment = settings.attachment or Attachment()
        self._found: Config | None = None  # the models that were discovered
        self._discovery = Discovery(attachment) if settings.config_file is None else None
        config = settings.config or self._config()
        for note in config.notes:
            log.warning("configuration", extra={"note": note})
        self._web = web = self._web_config()
        self._stopping = threading.Event()
        self._reloads: list[_Reload] = []
        self._lock = threading.Lock()
        self._running = False
        self._history = History()
        publication = Publication(settings.first_scrape_wait)
        with ExitStack() as opened:
            store = Store(config.state)
            opened.callback(store.close)
            self._spools = Spools(config.state and config.state / "events")
            opened.callback(self._spools.close)
            self._telemetry = Telemetry(
                config,
                store,
                publication,
                self._history,
                self._spools,
                place=_place(settings.listen_address),
                attachment=attachment,
                proxy_flags=settings.proxy_flags,
            )
            opened.callback(self._telemetry.close)
            self._inlets = Inlets()
            self._open_inlets()
            self._door = Door(Gate(config.access, web.users), web.headers)
            app = create_app(
                publication,
                self._door,
                is_ready=lambda: self._running,
                reload=self.reload,
                telemetry_path=settings.telemetry_path,
                pages=[
                    status_pages(self._history, telemetry_path=settings.telemetry_path),
                    ingest_pages(self._inlets),
                ],
            )
            self._server = WebServer(app, settings.listen_address, web.tls)
            self._opened = opened.pop_all()

    @property
    def port(self) -> int:
        return self._server.port

    def run(self) -> None:
        """Count and serve until SIGTERM or SIGINT."""
        self._on_signals()
        self._server.start()
        self._running = True
        log.info("listening", extra={"address": self._settings.listen_address, "port": self.port})
        try:
            self._telemetry.run(self._stopping, self._between_steps)
        finally:
            self._running = False
            self._refuse_reloads()
            self._server.stop()
            self._opened.close()
        log.info("stopped")

    def stop(self) -> None:
        self._stopping.set()

    def reload(self) -> list[str]:
        """Load the configuration anew, and wait for that; returns what was wrong."""
        wish = _Reload()
        with self._lock:
            if self._stopping.is_set():
                return [_STOPPING]
            self._reloads.append(wish)
        if not wish.done.wait(_RELOAD_WAIT):
            return ["the exporter is busy; the configuration is loaded as soon as it can"]
        if not wish.errors and (capture := self._telemetry.attachment.current()):
            capture.reloaded()  # the proxy reads the same file
        return wish.errors

    def _on_signals(self) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            self.stop()

        def reload(number: int, frame: FrameType | None) -> None:
            # The handler runs in the counting thread: it must not wait for that.
            self._reloads.append(_Reload())

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)

    def _between_steps(self) -> None:
        if is_orphan():
            self.stop()
        self._take_reloads()
        if self._discovery is not None and not self._stopping.is_set():
            config = self._telemetry.config
            for model in self._discovery.look(config.models):
                log.info("found a model", extra={"model": model.name, "task": model.task})
                config = replace(config, models=(*config.models, model))
            if config is not self._telemetry.config and not self._telemetry.reload(config):
                self._found = config
                self._open_inlets()

    def _take_reloads(self) -> None:
        """Grant all wishes for a reload with one."""
        if not self._reloads:
            return
        with self._lock:
            wishes, self._reloads = self._reloads, []
        errors = self._reload_now()
        for wish in wishes:
            wish.errors = errors
            wish.done.set()

    def _refuse_reloads(self) -> None:
        """Answer those who wait, for the server stops when it has answered everybody."""
        with self._lock:
            self._stopping.set()
            for wish in self._reloads:
                wish.errors = [_STOPPING]
                wish.done.set()

    def _reload_now(self) -> list[str]:
        try:
            config = self._config()
            web = self._web_config()
            if config.state != self._telemetry.config.state:
                raise ConfigError(
                    [f"{config.path}: state: can't change while running; restart the exporter"]
                )
            if (web.tls is None) != (self._web.tls is None):
                raise ConfigError(
                    [
                        f"{self._settings.web_config_file}: tls_server_config: can't be put in or"
                        " taken out while running; restart the exporter"
                    ]
                )
            self._server.renew(web.tls)
        except ConfigError as error:
            self._telemetry.reload_failed(error.errors)
            return error.errors
        except OSError as error:  # a certificate that was replaced just now
            errors = [f"{self._settings.web_config_file}: tls_server_config: {error}"]
            self._telemetry.reload_failed(errors)
            return errors
        errors = self._telemetry.reload(config)
        if not errors:
            self._open_inlets()
            self._web = web
            self._door.gate = Gate(config.access, web.users)
            self._door.headers = web.headers
        return errors

    def _open_inlets(self) -> None:
        pipelines = self._telemetry.pipelines
        self._inlets.now = inlets(((one.model, one.layouts) for one in pipelines), self._spools)

    def _config(self) -> Config:
        if self._settings.config_file is not None:
            return configuration.load(self._settings.config_file)
        return self._found or without_models()

    def _web_config(self) -> WebConfig:
        path = self._settings.web_config_file
        return WebConfig() if path is None else load_web_config(path)


def _place(listen_address: str) -> str:
    """What changes whenever Prometheus has another name for this process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it asks which address it would have
            host = probe.getsockname()[0]
        except OSError:
            host = ""
    return f"{socket.gethostname()} {host} {listen_address}"

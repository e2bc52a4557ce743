"""The proxy as a process: its listeners, its clock, and its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from ml_exporter.capture import Capture
from ml_exporter.config.config import ConfigError
from ml_exporter.config.proxy_settings import ModelName, ProxySettings
from ml_exporter.config.units import parse_address
from ml_exporter.proxy.client import Client
from ml_exporter.proxy.front import Front, make_front
from ml_exporter.proxy.health import Health
from ml_exporter.proxy.names import Names
from ml_exporter.proxy.observation import Observer
from ml_exporter.proxy.renewal import Renewal
from ml_exporter.proxy.routes import Routes
from ml_exporter.proxy.shared import Shared, Timeouts
from ml_exporter.proxy.upstream_tls import files_of, reason_of, upstream_context

log = logging.getLogger(__name__)

_TICK = 1.0  # seconds
_SAY_AGAIN = 60  # ticks after which a failure is logged again
_PROBE_TIMEOUT = 1.0  # seconds that the model server has to take a connection
_BACKLOG = 1024

# Names and paths of the models that are behind the proxy; None: they are to be found.
Models = list[tuple[str, str | None]] | None
Load = Callable[[], tuple[ProxySettings, Models]]


class ProxyError(OSError):
    """An address can't be listened on."""


class Proxy:
    """The data plane: forwards what comes, and observes it."""

    def __init__(
        self, capture: Capture, load: Load, is_orphan: Callable[[], bool] = lambda: False
    ) -> None:
        """`load` reads the configuration; raises ConfigError. An orphan stops."""
        self._capture = capture
        self._load = load
        self._is_orphan = is_orphan
        self._reloads = capture.reloads
        self._settings, models = load()
        path = self._settings.web_config
        self._front = Renewal[Front](
            "what clients of the proxy meet",
            lambda before: make_front(path, before),
            lambda front: front.files,
        )
        self._upstream = _upstream(self._settings)
        self._shared = Shared(("", 0), self._observer(models), _timeouts(self._settings))
        self._servers: list[asyncio.Server] = []
        self._take_upstream()
        self._take_front()
        self._stopping: asyncio.Event
        self._wish = ""  # "stop", "stop at once"
        self.ports = (0, 0)  # of the proxy, and of its probes

    async def run(self) -> None:
        """Forward until SIGTERM or SIGINT; raises ProxyError."""
        _allow_many_connections()
        loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, self.stop, True)
        loop.add_signal_handler(signal.SIGINT, self.stop, False)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        server = await _listen(
            self._settings.listen_address,
            lambda host, port: loop.create_server(
                partial(Client, self._shared),
                host,
                port,
                backlog=_BACKLOG,
                ssl=self._front.made.context,
            ),
        )
        self._servers = [server]
        probes = await self._listen_for_probes()
        self.ports = (_port(server), _port(probes) if probes else 0)
        log.info(
            "forwarding",
            extra={
                "address": self._settings.listen_address,
                "port": self.ports[0],
                "health_port": self.ports[1],
                "upstream": str(self._settings.upstream),
            },
        )
        # What is there now stays: to look through it for garbage would stop requests for a while.
        gc.collect()
        gc.freeze()
        ticking = loop.create_task(self._tick())
        await self._stopping.wait()
        await self._drain()
        ticking.cancel()
        if probes is not None:
            probes.close()
        log.info("the proxy has stopped", extra={"aborted": len(self._shared.connections)})
        for client in list(self._shared.connections):
            client.abort()

    async def _listen_for_probes(self) -> asyncio.Server | None:
        """Whoever can't be asked can still forward."""
        health = Health(self._why_not_ready)
        try:
            return await _listen(
                self._settings.health_address,
                lambda host, port: asyncio.start_server(health.serve, host, port),
            )
        except ProxyError as error:
            log.error("probes aren't answered", extra={"error": error})
            return None

    def stop(self, drains: bool) -> None:
        """Stop; the second time at once."""
        self._wish = "stop" if drains and not self._stopping.is_set() else "stop at once"
        self._stopping.set()

    def reload(self) -> None:
        """Take up the configuration as it is now, if it is right."""
        try:
            settings, models = self._load()
            upstream = _upstream(settings)
            for key in ("listen_address", "health_address", "buffer", "web_config"):
                if getattr(settings, key) != getattr(self._settings, key):
                    raise ConfigError([f"proxy.{key}: can't change while running"])
        except ConfigError as problem:
            for error in problem.errors:
                log.error("the proxy goes on as it was configured", extra={"error": error})
            return
        self._settings = settings
        self._upstream = upstream
        self._take_upstream()
        self._shared.timeouts = _timeouts(settings)
        self._shared.observer = self._observer(models)
        log.info("the proxy's configuration is reloaded")

    def _take_upstream(self) -> None:
        host, port, _ = self._settings.upstream
        self._shared.upstream = host, port
        self._shared.tls = None if self._upstream is None else self._upstream.made
        self._shared.server_name = self._settings.upstream_tls.server_name

    def _take_front(self) -> None:
        front = self._front.made
        self._shared.proto = b"http" if front.context is None else b"https"
        self._shared.guard = front.guard
        self._shared.fields = front.fields
        for client in self._shared.connections:
            client.fields = front.fields

    async def _renew(self) -> None:
        """Take up files that were replaced; what is connected goes on with what it met."""
        if self._upstream is not None and self._upstream.renew():
            self._take_upstream()
        before = self._front.made
        if not self._front.renew():
            return
        self._take_front()
        if (before.context or self._front.made.context) and not self._stopping.is_set():
            await self._listen_anew()

    async def _listen_anew(self) -> None:
        """Listen with other certificates at the same sockets, so that nobody is refused."""
        loop = asyncio.get_running_loop()
        before = self._servers
        self._servers = [
            await loop.create_server(
                partial(Client, self._shared),
                sock=socket.socket(fileno=os.dup(one.fileno())),
                backlog=_BACKLOG,
                ssl=self._front.made.context,
            )
            for server in before
            for one in server.sockets
        ]
        for server in before:
            server.close()

    def _observer(self, models: Models) -> Observer:
        return Observer(
            self._capture,
            Routes(models, self._capture.counts),
            body_limit=self._settings.body_limit,
            share=self._settings.share,
            rate=self._settings.rate,
            names=None if self._settings.model == ModelName() else Names(self._settings.model),
        )

    async def _tick(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(_TICK)
            now = time.perf_counter()
            for client in list(self._shared.connections):
                client.check(now)
            self._shared.observer.tick()
            ticks += 1
            if ticks % _SAY_AGAIN == 0:
                self._shared.failures.clear()
            try:
                await self._renew()
            except Exception:  # the clock goes on, and so does what there is
                log.exception("certificates or users could not be renewed")
            if self._is_orphan():
                self.stop(True)
            if self._capture.reloads != self._reloads:
                self._reloads = self._capture.reloads
                self.reload()

    async def _drain(self) -> None:
        """Say that there will be no more, refuse what comes then, and let the rest complete."""
        if self._wish == "stop":
            log.info("draining", extra={"seconds": self._settings.drain})
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain):
                    while self._wish == "stop":
                        await asyncio.sleep(0.05)
        for server in self._servers:
            server.close()
        self._shared.is_draining = True
        deadline = time.monotonic() + self._settings.grace
        for client in list(self._shared.connections):
            client.drain()
        while self._shared.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _why_not_ready(self) -> str:
        if self._stopping.is_set():
            return "stopping"
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                shared = self._shared
                host, port = shared.upstream
                name = (shared.server_name or host) if shared.tls is not None else None
                _, writer = await asyncio.open_connection(
                    host, port, ssl=shared.tls, server_hostname=name
                )
                writer.close()
        except ssl.SSLError as error:
            return f"the model server takes no connection: {reason_of(error)}"
        except (OSError, TimeoutError):
            return "the model server takes no connection"
        return ""


def _upstream(settings: ProxySettings) -> Renewal[ssl.SSLContext] | None:
    """How to reach a model server over TLS; raises ConfigError."""
    if not settings.upstream.is_tls:
        return None
    tls = settings.upstream_tls
    return Renewal(
        "what the model server is known by",
        lambda before: upstream_context(tls),
        lambda context: files_of(tls),
    )


def _timeouts(settings: ProxySettings) -> Timeouts:
    return Timeouts(
        head=settings.client_timeout,
        body=settings.client_timeout,
        connect=settings.connect_timeout,
        answer=settings.answer_timeout,
    )


async def _listen(
    address: str, serve: Callable[[str | None, int], Awaitable[asyncio.Server]]
) -> asyncio.Server:
    host, port = parse_address(address)
    try:
        return await serve(host or None, port)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ProxyError(f"can't listen on {address}: {reason}") from None


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

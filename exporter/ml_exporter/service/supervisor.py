"""Proxy and telemetry as two processes of one service: each is started again when it dies."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from ml_exporter.capture import Capture
from ml_exporter.service.supervised import DESCRIPTOR, SUPERVISOR, Role

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0  # seconds before a process is started again
_SOUND = 30.0  # seconds after which a process is taken to have worked
_BAD_INPUT = 1
_COUNTING = 30.0  # seconds that telemetry has to save what it counted


def supervise(arguments: Sequence[str], buffer: int, patience: float) -> int:
    """Run the command with these arguments in both roles until SIGTERM or SIGINT.

    `buffer` is in bytes; `patience` is the seconds that the proxy has to drain. Returns the exit
    code. Raises CaptureError where there is no memory for the buffer.
    """
    capture = Capture.create(buffer)
    try:
        return asyncio.run(_Supervisor(arguments, capture, patience).run())
    finally:
        capture.close()


class _Supervisor:
    def __init__(self, arguments: Sequence[str], capture: Capture, patience: float) -> None:
        self._arguments = arguments
        self._capture = capture
        self._patience = patience
        self._processes: dict[Role, asyncio.subprocess.Process] = {}
        self._stopped_by: signal.Signals | None = None
        self._stopping: asyncio.Event
        self._code = 0

    async def run(self) -> int:
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        roles: tuple[Role, ...] = ("proxy", "telemetry")
        keepers = {role: loop.create_task(self._keep(role)) for role in roles}
        await self._stopping.wait()
        # Telemetry is last: it counts what the requests in flight still bring.
        for role in roles:
            await self._end(role, self._patience if role == "proxy" else _COUNTING)
            keepers[role].cancel()
        return self._code

    async def _keep(self, role: Role) -> None:
        pause = _FIRST_PAUSE
        has_worked = False
        while not self._stopping.is_set():
            started = time.monotonic()
            process = self._processes[role] = await self._start(role)
            code = await process.wait()
            if self._stopping.is_set():
                return
            lived = time.monotonic() - started
            if role == "proxy" and code == _BAD_INPUT and not has_worked:
                self._code = code  # it has said why
                self._stopping.set()
                return
            has_worked = has_worked or lived > _SOUND or code < 0
            pause = _FIRST_PAUSE if lived > _SOUND else min(pause * 2, _LONGEST_PAUSE)
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            log.error("a process died", extra={"role": role, "how": how, "restart_in": pause})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _start(self, role: Role) -> asyncio.subprocess.Process:
        # In a group of its own, so that Ctrl-C comes here alone.
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ml_exporter", *self._arguments, f"--role={role}"),
            env={
                **os.environ,
                DESCRIPTOR: str(self._capture.descriptor),
                SUPERVISOR: str(os.getpid()),
            },
            pass_fds=(self._capture.descriptor,),
            process_group=0,
        )

    async def _end(self, role: Role, patience: float) -> None:
        process = self._processes.get(role)
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(self._stopped_by or signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), patience)
        except TimeoutError:
            log.error("a process doesn't stop", extra={"role": role})
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _stop(self, number: signal.Signals) -> None:
        if self._stopping.is_set():  # the second time: no more patience
            if process := self._processes.get("proxy"):
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
            return
        self._stopped_by = number
        self._stopping.set()

    def _reload(self) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGHUP)

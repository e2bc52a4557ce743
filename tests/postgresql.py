"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support import free_port, stop, wait_until

USER = "tester"
PASSWORD = "s3cret"
_DEBIAN = Path("/usr/lib/postgresql")


def _program(name: str) -> str:
    """A program of PostgreSQL, on the PATH or where Debian puts it; else the test is skipped."""
    if found := shutil.which(name):
        return found
    for candidate in sorted(_DEBIAN.glob(f"*/bin/{name}"), reverse=True):
        return str(candidate)
    pytest.skip(f"no {name}: run `make tools`")


def _owner() -> str | None:
    """Who runs the server: it refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a database, until the block ends."""
    owner = _owner()
    postgres, initdb = _program("postgres"), _program("initdb")
    # Not in pytest's folder, which only root may enter where root runs the tests.
    with TemporaryDirectory() as name:
        folder = Path(name)
        password = folder / "password"
        password.write_text(PASSWORD)
        if owner:
            for path in (folder, password):
                shutil.chown(path, owner)
        data = folder / "data"
        subprocess.run(
            [
                *(initdb, "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}"),
                *("--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            user=owner,
            cwd=folder,
        )
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        process = subprocess.Popen(
            [postgres, "-D", data, "-p", str(port), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=owner,
            cwd=folder,
        )
        try:
            wait_until(lambda: _listens(port), what="PostgreSQL listens")
            yield f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(2)  # SIGINT: a fast shutdown, whoever is connected
            stop(process)

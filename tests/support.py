"""What tests that run real programs share: finding them, starting them, waiting for them."""

import resource
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

import pytest

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent


def find_tool(name: str) -> str:
    """The program `name` of `.tools/` (`prometheus`, `prometheus-2.42/promtool`) or the PATH.

    The test is skipped where there is none; `make test` puts them there first.
    """
    for candidate in (ROOT / ".tools/bin" / name, ROOT / ".tools" / name):
        if candidate.is_file():
            return str(candidate)
    if found := shutil.which(name):
        return found
    pytest.skip(f"no {name}: run `make tools`")


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def wait_until(condition: Callable[[], T], timeout: float = 30, what: str = "") -> T:
    """Calls `condition` until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what or condition} is {result!r} after {timeout} seconds")
        time.sleep(0.05)
    return result


def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and text of an HTTP response, whatever the status; 0 where nobody answers."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


@contextmanager
def serving(
    command: Sequence[str | Path],
    url: str,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 30,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, from when `url` answers with 2xx until the block ends.

    What it printed is shown where it dies or doesn't answer in time.
    """
    with TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=output)

        def ready() -> bool:
            if process.poll() is not None:
                raise ChildProcessError(f"{command[0]} exited with {process.returncode}")
            return 200 <= get(url)[0] < 300

        try:
            try:
                wait_until(ready, timeout, url)
            except (ChildProcessError, TimeoutError) as error:
                output.seek(0)
                error.add_note(output.read().decode(errors="replace")[-4000:])
                raise
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes], grace: float = 10) -> None:
    """Ends a process: asks it to, and kills it where it doesn't listen."""
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

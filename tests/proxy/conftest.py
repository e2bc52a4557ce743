import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from ml_exporter.capture import Capture
from tests.proxy.sidecar import MODEL_SERVER, Sidecar
from tests.support import free_port, get, stop, wait_until


@pytest.fixture
def capture() -> Iterator[Capture]:
    made = Capture.create(1 << 20)
    yield made
    made.close()


@pytest.fixture
def model_server() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, MODEL_SERVER, str(port)])
    wait_until(lambda: get(f"http://127.0.0.1:{port}/")[0] == 200, what="the model server")
    yield port
    stop(process)


@pytest.fixture
def sidecar(tmp_path: Path, model_server: int) -> Iterator[Sidecar]:
    with TemporaryFile() as output:
        made = Sidecar(tmp_path, model_server, output)
        yield made
        for client in made.clients:
            client.close()
        for process in made.processes:
            stop(process, 60)
        output.seek(0)
        print(output.read().decode())

"""The exporter as a process whose disk is full, and then is not."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from ml_exporter.rules import Timing
from tests.rules.targets import prometheus
from tests.support import free_port, get, serving, wait_until

TIMING = Timing.shortened(2)
CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    learn: {rows: 100000}
    source: {type: file, path: LOGS/m.jsonl}
    fields: {prediction: p, label: y, features: [x]}
state: {path: STATE}
"""
ALERT = 'ALERTS{alertname="ExporterStateNotPersisted",alertstate="firing"}'

Fill = Callable[[subprocess.Popen[bytes], bool], None]


@contextmanager
def small_file_system(folder: Path) -> Iterator[Fill]:
    """A file system of two megabytes, and what fills it, or frees it again."""
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes a user who may")

    def fill(process: subprocess.Popen[bytes], full: bool) -> None:
        ballast = folder / "ballast"
        if not full:
            ballast.unlink()
            return
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    try:
        yield fill
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def limited_files(folder: Path) -> Iterator[Fill]:
    """A limit to the size of the process's files, which anybody may set."""

    def fill(process: subprocess.Popen[bytes], full: bool) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit = 0 if full else resource.RLIM_INFINITY
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, hard))

    yield fill


@pytest.mark.parametrize("disk", [small_file_system, limited_files])
def test_counting_goes_on_and_saving_resumes(
    tmp_path: Path, disk: Callable[[Path], Iterator[Fill]]
) -> None:
    state, log = tmp_path / "state", tmp_path / "m.jsonl"
    state.mkdir()
    config = CONFIG.replace("LOGS", str(tmp_path)).replace("STATE", str(state))
    (tmp_path / "ml-exporter.yml").write_text(config)
    (tmp_path / "prometheus").mkdir()
    address = f"127.0.0.1:{free_port()}"
    command = [
        *(sys.executable, "-m", "ml_exporter", "run", "--web.first-scrape-wait=0s"),
        *(f"--config.file={tmp_path / 'ml-exporter.yml'}", f"--web.listen-address={address}"),
    ]
    rows = 0

    def append(count: int) -> None:
        nonlocal rows
        rows += count
        row = {"p": "a", "y": "a", "x": "a text of some length"}
        with log.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for _ in range(count))

    def counted() -> bool:
        return f'model="m",version="unversioned"}} {rows}\n' in metric("ml_predictions_total")

    def metric(name: str) -> str:
        text = get(f"http://{address}/metrics")[1]
        return "".join(f"{line}\n" for line in re.findall(rf"^{name}.*", text, re.MULTILINE))

    append(10)
    with ExitStack() as stack:
        fill = stack.enter_context(disk(state))  # type: ignore[arg-type]
        server = stack.enter_context(
            prometheus("prometheus", tmp_path / "prometheus", TIMING, scrape_interval=0.5)
        )
        server.scrape_address(address)
        with serving(command, f"http://{address}/-/ready") as process:
            wait_until(counted, what="the first rows")
            fill(process, True)
            saved = ""

            def is_full() -> bool:
                """More is written than the state's own files have room for."""
                nonlocal saved
                before, saved = saved, metric("ml_exporter_state_last_save")
                append(2000)
                wait_until(counted, what="rows while the disk is full")
                time.sleep(1)
                return before == saved

            wait_until(is_full, 60, "saving that fails")
            wait_until(lambda: server.query(ALERT), 60, "the alert")
            append(10)
            wait_until(counted, what="rows while the alert fires")
            assert metric("ml_exporter_state_last_save") == saved
            assert not (state / "saved").exists()

            fill(process, False)
            wait_until(lambda: metric("ml_exporter_state_last_save") != saved, what="saving")
            wait_until(lambda: not server.query(ALERT), 60, "the end of the alert")
            append(10)
            wait_until(counted, what="rows when there is room again")
        with serving(command, f"http://{address}/-/ready") as process:
            assert counted()
            append(10)
            wait_until(counted, what="rows after a restart")

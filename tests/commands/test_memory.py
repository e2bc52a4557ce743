"""Freed memory is kept for the next batch."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys

import pytest

from ml_exporter.commands import memory

_FAULTS = """\
import resource
import numpy as np
from ml_exporter.commands import memory

{first}
np.ones(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(1 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first: str) -> int:
    """Pages that the system clears while a process makes an array of 8 MiB ten times."""
    program = _FAULTS.format(first=first)
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_an_array_takes_the_memory_of_the_one_before() -> None:
    # However large its pages are, an array that is made ten times has at least ten.
    assert faults("memory.keep_freed()") < 10


@pytest.mark.parametrize(("said", "kept"), [(None, "1000"), ("10", "10")])
def test_arrow_is_asked_to_keep_memory(said, kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless somebody has said otherwise."""
    monkeypatch.setenv("MIMALLOC_PURGE_DELAY", said or "")
    if said is None:
        monkeypatch.delenv("MIMALLOC_PURGE_DELAY")
    memory.keep_freed()
    assert os.environ["MIMALLOC_PURGE_DELAY"] == kept


def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMALLOC_PURGE_DELAY", "10")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.keep_freed()


def test_cycles_are_looked_for_after_many_objects() -> None:
    before = gc.get_threshold()
    try:
        memory.look_seldom()
        assert gc.get_threshold() == (50_000, *before[1:])
    finally:
        gc.set_threshold(*before)

"""Lines in memory are read as a spool's are."""

import pytest

from ml_exporter.client.memory import MemoryLines, MemoryLinesOfModels
from ml_exporter.sources.spool import SpoolFull


def test_lines_are_read_until_they_are_released() -> None:
    lines = MemoryLines("here")
    lines.resume(100)  # what an earlier process had counted
    lines.append(b"one\ntwo\n", 100)
    assert lines.read(100, 5) == (100, b"one\n")
    assert lines.read(104, 100) == (104, b"two\n")
    assert lines.waiting(104) == 4
    lines.release(104)
    assert lines.read(104, 1) == (104, b"two\n")  # one line at least
    lines.append(b"three\n", 100)
    assert lines.read(104, 100) == (104, b"two\nthree\n")
    lines.release(114)
    assert lines.read(114, 100) == (114, b"")
    lines.resume(114)
    assert lines.waiting(114) == 0


def test_no_more_waits_than_may() -> None:
    lines = MemoryLines("here")
    lines.append(b"12345\n", 10)
    with pytest.raises(SpoolFull):
        lines.append(b"67890\n", 10)
    assert lines.read(0, 100) == (0, b"12345\n")


def test_each_stream_has_lines_of_its_own() -> None:
    inbox = MemoryLinesOfModels("here")
    assert inbox.of("m", "labels") is inbox.of("m", "labels")
    assert inbox.of("m", "labels") is not inbox.of("m", "predictions")
    assert inbox.of("m", "labels").place != inbox.of("n", "labels").place

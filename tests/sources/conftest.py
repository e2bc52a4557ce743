from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_exporter.sources import files
from tests.reading import close_all


@pytest.fixture
def look_each_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files are looked for whenever one is read."""
    monkeypatch.setattr(files, "_LOOK_AGAIN", 0.0)
    yield
    close_all()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"

from collections.abc import Iterator

import pytest

from ml_exporter.capture import Capture


@pytest.fixture
def capture() -> Iterator[Capture]:
    made = Capture.create(1 << 20)
    yield made
    made.close()

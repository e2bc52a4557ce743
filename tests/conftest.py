"""Fixtures of all tests."""

import logging
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from tests.support import serving

# A test never fails because a machine is slow, nor for a case that the commit before it also had:
# a run tries the same cases each time, and `make fuzz` looks for others.
_any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same cases", _any_speed, derandomize=True)
settings.register_profile("fuzz", _any_speed, max_examples=5000)
settings.load_profile("same cases")


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "seconds of the load in tests/proxy/test_soak.py"
    parser.addoption("--soak", type=float, default=8.0, metavar="SECONDS", help=help)


Serve = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(command, url)` waits for a server's first answer; all end with the test."""
    with ExitStack() as servers:
        yield lambda *args, **kwargs: servers.enter_context(serving(*args, **kwargs))


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Where log lines go is nobody else's business."""
    logger = logging.getLogger("ml_exporter")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])

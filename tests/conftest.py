"""Fixtures of all tests."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from tests.support import serving

# A test never fails because a machine is slow.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

Serve = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(command, url)` waits for a server's first answer; all end with the test."""
    with ExitStack() as servers:
        yield lambda *args, **kwargs: servers.enter_context(serving(*args, **kwargs))

"""What a process knows of the supervisor that started it, if one did."""

from __future__ import annotations

import os
from typing import Literal

from ml_exporter.capture import Capture

Role = Literal["proxy", "telemetry"]

# In the environment of proxy and telemetry.
DESCRIPTOR = "ML_EXPORTER_CAPTURE_DESCRIPTOR"  # of the buffer
SUPERVISOR = "ML_EXPORTER_SUPERVISOR"  # its process

_NICENESS = 5  # of telemetry


def inherited() -> Capture | None:
    """The buffer that a supervisor made, in a process that it started; raises CaptureError."""
    descriptor = os.environ.get(DESCRIPTOR)
    return Capture(int(descriptor)) if descriptor else None


def let_the_proxy_go_first() -> None:
    """Take the processor only where the proxy leaves it: requests are worth more than figures."""
    if is_supervised():
        os.nice(_NICENESS)


def is_supervised() -> bool:
    """Whether a supervisor started this process."""
    return bool(os.environ.get(SUPERVISOR))


def is_orphan() -> bool:
    """Whether this process had a supervisor, and has none any more."""
    supervisor = os.environ.get(SUPERVISOR)
    return supervisor is not None and os.getppid() != int(supervisor)

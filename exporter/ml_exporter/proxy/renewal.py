"""What is made of files, and made anew when one of them is replaced."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from ml_exporter.config.config import ConfigError

log = logging.getLogger(__name__)

Made = TypeVar("Made")


class Renewal(Generic[Made]):
    """Keeps what was last made, until something else can be made of all files together."""

    def __init__(
        self,
        what: str,
        make: Callable[[Made | None], Made],
        files: Callable[[Made], Iterable[Path]],
    ) -> None:
        """`make` is given what it made before, and `files` are those that it was made of.

        Raises what `make` raises.
        """
        self._what = what
        self._make = make
        self._files = files
        self.made = make(None)
        self._seen = self._states()

    def renew(self) -> bool:
        """Whether there is something new."""
        states = self._states()
        if states == self._seen:
            return False
        self._seen = states
        try:
            self.made = self._make(self.made)
        except (ConfigError, OSError) as error:
            # One file comes after the other: with the next one it is tried again.
            log.warning(f"{self._what} can't be renewed yet", extra={"error": error})
            return False
        # What was replaced in the meantime is to count as new.
        self._seen = {path: states.get(path, state) for path, state in self._states().items()}
        log.info(f"{self._what} is renewed")
        return True

    def _states(self) -> dict[Path, tuple[int, int, int]]:
        """Of each file, what changes when it is replaced."""
        return {path: _state(path) for path in self._files(self.made)}


def _state(path: Path) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_ino, status.st_size

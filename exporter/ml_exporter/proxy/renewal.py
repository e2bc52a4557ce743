"""What is made of files, and made anew when one of them is replaced."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from ml_exporter.config import ConfigError

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
        self._seen = self._state()

    def renew(self) -> bool:
        """Whether there is something new."""
        state = self._state()
        if state == self._seen:
            return False
        self._seen = state
        try:
            self.made = self._make(self.made)
        except (ConfigError, OSError) as error:
            # One file comes after the other: with the next one it is tried again.
            log.warning(f"{self._what} can't be renewed yet", extra={"error": error})
            return False
        self._seen = self._state()  # perhaps of other files
        log.info(f"{self._what} is renewed")
        return True

    def _state(self) -> list[tuple[str, int, int, int]]:
        """What changes when a file is replaced."""
        found = []
        for path in self._files(self.made):
            try:
                status = os.stat(path)
            except OSError:
                found.append((str(path), 0, 0, 0))
                continue
            found.append((str(path), status.st_mtime_ns, status.st_ino, status.st_size))
        return found

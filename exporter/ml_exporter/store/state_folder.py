"""The folder of the state: one process has it, and a file that is of no use is set aside there."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

APPLICATION = 0x4D4C4558  # "MLEX", in the header of the file
_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes: https://www.sqlite.org/fileformat2.html#the_database_header
_FIRST_PAGE = 4096  # bytes; no database with a table has as few
_COMPANIONS = ("", "-wal", "-shm", "-journal")


class StateError(Exception):
    """A state folder that can't be used, and why."""


class StateFolder:
    """Holds `state.db`, and an empty file `saved` while all that was shown is in it."""

    def __init__(self, path: Path) -> None:
        """Take the folder, which no other process may have; raises StateError."""
        self.path = path
        self.file = path / "state.db"
        self._saved = path / "saved"
        self._lock = _lock(path)

    def close(self) -> None:
        self._lock.close()

    @property
    def is_saved(self) -> bool:
        return self._saved.exists()

    def set_saved(self, saved: bool) -> None:
        """Say whether all that was shown is in the file; raises OSError."""
        if saved:
            self._saved.touch()
        else:
            self._saved.unlink(missing_ok=True)
        # A file that is gone must stay so when the machine loses its power.
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def has_room(self, size: int) -> bool:
        """Whether a file of that size can be written."""
        probe = self.path / "room"
        try:
            with open(probe, "wb") as file:
                for start in range(0, size, 1 << 20):
                    file.write(bytes(min(size - start, 1 << 20)))
        except OSError:
            return False
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
        return True

    def examine(self, version: int) -> tuple[str, str] | None:
        """Of what kind a file is that is of no use, and why; `version` is the latest that is known.

        The file isn't opened as a database, for that may write to it. Raises StateError.
        """
        try:
            with open(self.file, "rb") as file:
                header = file.read(_HEADER)
                size = file.seek(0, os.SEEK_END)
        except FileNotFoundError:
            header, size = b"", 0
        except OSError as error:
            raise StateError(f"{self.file}: {(error.strerror or str(error)).lower()}") from None
        if not header:
            lost = Path(f"{self.file}-wal").exists()
            return ("corrupt", "only its write-ahead log is left") if lost else None
        if not header.startswith(_MAGIC):
            return "corrupt", "file is not a database"
        found, application = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
        # While a file has one page, its header may still be in the write-ahead log.
        if application != APPLICATION and (application or size > _FIRST_PAGE):
            return "foreign", "not a state file of this program"
        if found > version:
            return "newer", f"state of version {found}; this program reads up to {version}"
        return None

    def set_aside(self, kind: str, reason: str) -> None:
        """Rename the file with its companions: none is deleted, or written over.

        Raises StateError.
        """
        base = aside = f"{self.file}.{kind}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        number = 1
        while any(Path(f"{aside}{end}").exists() for end in _COMPANIONS):
            number += 1
            aside = f"{base}.{number}"
        try:
            for end in _COMPANIONS:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{self.file}{end}", f"{aside}{end}")
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            raise StateError(f"{self.file}: {reason}, and can't be set aside: {problem}") from None
        log.error(
            "state is of no use: it is set aside, and counting starts from the logs",
            extra={"file": str(self.file), "error": reason, "moved_to": aside},
        )


def _lock(folder: Path) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "a+")  # noqa: SIM115 - held as long as the process lives
    except FileExistsError:
        raise StateError(f"{folder}: is a file, and must be a folder") from None
    except OSError as error:
        raise StateError(f"{folder}: {(error.strerror or str(error)).lower()}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise StateError(f"{folder}: in use by process {owner or 'unknown'}") from None
    file.truncate(0)
    with contextlib.suppress(OSError):  # a full disk has no room for the number
        os.write(file.fileno(), str(os.getpid()).encode())
    return file

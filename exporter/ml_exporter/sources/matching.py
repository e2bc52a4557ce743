"""Files of a pattern: which there are, how they are opened, and where their whole lines end."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ml_exporter.sources.identity import digest


@dataclass
class Matches:
    """The regular files that match, by device and inode, in the order of their names."""

    paths: int
    files: dict[str, tuple[str, os.stat_result]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)  # by path, or the pattern


def matches(pattern: str, *, hidden: bool = True, example: str = "*.jsonl") -> Matches:
    """What a path or a glob matches now.

    Not `hidden`: without files and folders of which a writer says that they aren't data, or not
    yet, as `_temporary/` and `_SUCCESS` do. `example` is for who names a folder.
    """
    paths = sorted(glob.glob(pattern, recursive=True))
    is_glob = glob.has_magic(pattern)
    if is_glob and not hidden:
        paths = [path for path in paths if not _is_hidden(path, pattern)]
    found = Matches(len(paths))
    if not paths:
        found.errors[pattern] = "no file matches" if is_glob else "no such file"
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            found.errors[path] = problem(error)
            continue
        if stat.S_ISREG(status.st_mode):
            found.files.setdefault(f"{status.st_dev}:{status.st_ino}", (path, status))
        elif not is_glob:
            found.errors[path] = _not_a_file(status.st_mode, example)
    return found


def problem(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def open_file(path: str) -> BinaryIO:
    # Whoever swaps a pipe for the file meanwhile must not make us wait for its writer.
    return open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)


def whole_lines(descriptor: int, size: int) -> int:
    """The end of the last whole line among so many bytes of a file."""
    stop = size
    while stop > 0:
        start = max(0, stop - (1 << 16))
        found = os.pread(descriptor, stop - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        stop = start
    return 0


def source_id(pattern: str) -> str:
    """A hash of what is read, alike only where two processes read the same files."""
    parts = Path(pattern).parts
    plain = _first_magic(parts, len(parts) - 1)
    # Containers may have one folder under several paths.
    folder, rest = Path(*parts[:plain]), os.sep.join(parts[plain:])
    try:
        status = os.stat(folder)
        place = f"{status.st_dev}:{status.st_ino}"
    except OSError:
        place = str(folder)
    try:
        host = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        host = os.uname().nodename
    return id_of(f"{host}\n{place}\n{rest}")


def id_of(text: str) -> str:
    """A short hash of a text."""
    return digest(text.encode(errors="surrogateescape"))[:16]


def _first_magic(parts: Sequence[str], default: int) -> int:
    """The number of the first part of a pattern that isn't just a name."""
    return next((n for n, part in enumerate(parts) if glob.has_magic(part)), default)


def _is_hidden(path: str, pattern: str) -> bool:
    plain = _first_magic(Path(pattern).parts, 0)
    return any(part.startswith(("_", ".")) for part in Path(path).parts[plain:])


def _not_a_file(mode: int, example: str) -> str:
    if stat.S_ISDIR(mode):
        return f"is a folder; name its files, as in {example}"
    return "is no regular file"

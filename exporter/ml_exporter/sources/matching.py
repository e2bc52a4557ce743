"""Which files a pattern matches, and what is wrong with those that can't be read."""

from __future__ import annotations

import glob
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ml_exporter.sources.identity import digest


@dataclass
class Matches:
    """The regular files that match, by device and inode, in the order of their names."""

    paths: int
    files: dict[str, tuple[str, os.stat_result]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)  # by path, or the pattern


def matches(pattern: str) -> Matches:
    """What a path or a glob matches now."""
    paths = sorted(glob.glob(pattern, recursive=True))
    is_glob = glob.has_magic(pattern)
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
            found.errors[path] = _not_a_file(status.st_mode)
    return found


def problem(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def source_id(pattern: str) -> str:
    """A hash of what is read, alike only where two processes read the same files."""
    parts = Path(pattern).parts
    plain = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
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
    return digest(f"{host}\n{place}\n{rest}".encode(errors="surrogateescape"))[:16]


def _not_a_file(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "is a folder; name its files, as in *.jsonl"
    return "is no regular file"

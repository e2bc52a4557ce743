"""What the process does with memory that it has freed, or might free."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os

# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_LARGEST_BLOCK = 32 << 20  # bytes; the most that glibc takes
_MOST_KEPT = 64 << 20  # bytes

_MIMALLOC_KEEPS = 1000  # milliseconds

_NEW_OBJECTS = 50_000  # a start makes fewer


def keep_freed() -> None:
    """Have glibc keep some freed memory for the next batch; elsewhere it does nothing.

    It gives large blocks back at once, and the system clears each page of a new one: for arrays as
    large as a batch's columns that takes as long as to read the log.
    https://man7.org/linux/man-pages/man3/mallopt.3.html

    Arrow's allocator is mimalloc, which gives memory back after 10 ms, and then a batch's is gone.
    https://microsoft.github.io/mimalloc/environment.html
    """
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", str(_MIMALLOC_KEEPS))
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
    mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)


def look_seldom() -> None:
    """Have Python look for unreachable cycles after more new objects than the usual 700.

    Nearly all objects that live long are made by imports, and batches make no cycles: 8 % of
    the time of a start went into looking. At the end, which takes another 13 %, there is no
    more need to.
    """
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)

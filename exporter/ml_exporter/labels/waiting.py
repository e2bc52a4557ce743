"""Predictions and labels that wait for each other: what is kept of them, and by what store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

import numpy as np

from ml_exporter.columns import Column
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER

KEY_SIZE = 16  # bytes
_LONG = 256  # characters; no name has as many


class Pending(NamedTuple):
    """A prediction whose label is awaited, or has come already."""

    key: bytes  # of its id
    version: str
    predicted: str
    at: float  # when it was predicted, seconds since 1970
    label: str | None = None
    labelled_at: float | None = None
    counted: bool = False
    place: int = 0  # where its store has it
    carried: bytes = b""  # what goes along with it; forgotten when it is counted


class Early(NamedTuple):
    """A label that came before its prediction."""

    key: bytes
    label: str
    at: float | None  # when it came by its own account, seconds since 1970
    since: float  # what it waits from
    place: int = 0


class PendingStore(Protocol):
    """Where predictions and labels wait for each other. All belong to one model."""

    def undone(self) -> None:
        """What was said lately is not so: the transaction was taken back."""

    def latest(self) -> float:
        """When the latest prediction was made; 0 where there is none."""

    def waiting(self) -> int:
        """How many predictions wait for their label."""

    def add(
        self,
        keys: Sequence[bytes],
        versions: Sequence[str],
        predicted: Sequence[str],
        at: Sequence[float],
        carried: Sequence[bytes],
    ) -> tuple[int, list[Pending]]:
        """Add predictions of whose key and version there is none yet, of several the first.

        How many, and the predictions that were there with their keys.
        """

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, list[Pending]]:
        """The waiting or labelled predictions with these keys, of each version one."""

    def label(self, rows: Sequence[Pending]) -> None:
        """Give predictions that were found without one their label."""

    def correct(self, row: Pending, label: str) -> None:
        """Give a labelled prediction another label."""

    def settle(self, until: float) -> list[Pending]:
        """Predictions labelled at or before a time and not counted yet, which they are then."""

    def expire(self, before: float) -> int:
        """Let go of predictions made before a time; how many of them had no label.

        Those whose label still settles are kept.
        """

    def evict(self, rows: int, size: int) -> tuple[int, list[Pending]]:
        """Let go of the oldest until no more than so many, of so many bytes, are there.

        How many had no label, and those whose label still settled.
        """

    def add_early(self, rows: Sequence[Early]) -> None:
        """Keep labels without a prediction, of whose key there is none yet."""

    def find_early(self, keys: Sequence[bytes]) -> Mapping[bytes, Early]:
        """The kept labels with these keys."""

    def correct_early(self, row: Early, label: str) -> None:
        """Replace a kept label."""

    def remove_early(self, rows: Iterable[Early]) -> None:
        """Let go of kept labels."""

    def expire_early(self, before: float) -> int:
        """Let go of labels that waited since before a time; how many they were."""

    def evict_early(self, rows: int, size: int) -> int:
        """Let go of the oldest kept labels as of predictions; how many they were."""


def keys_of(ids: Sequence[str]) -> list[bytes]:
    """What ids are known by: hashes, so that an id of any length takes as much as another."""
    try:
        return [blake2b(id.encode(), digest_size=KEY_SIZE).digest() for id in ids]
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write
        texts = [id.encode("utf-8", "surrogatepass") for id in ids]
        return [blake2b(text, digest_size=KEY_SIZE).digest() for text in texts]


def texts(column: Column) -> list[str]:
    """Names as they are kept: an empty text is none, and none is escaped."""
    categories = column.categories
    names = [_text(name) for name in categories.names]
    found = [names[code] for code in categories.codes.tolist()]
    if OTHER in categories.names:
        too_long = categories.codes == list(categories.names).index(OTHER)
        for row in np.flatnonzero(too_long).tolist():
            # No name, and its beginning is enough to know it by.
            found[row] = _encodable(str(column.values[row])[:_LONG])
    return found


def _text(name: str) -> str:
    if name in (MISSING, INVALID):
        return ""
    return _encodable(name[1:] if name.startswith("\\<") else name)


def _encodable(text: str) -> str:
    """Without lone surrogates, which no file takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

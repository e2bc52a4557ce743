"""Batch to counters, one module a concern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ml_exporter.batch import Batch
from ml_exporter.families import Family


class Monitor(Protocol):
    """Counts rows of one version of one model."""

    @property
    def families(self) -> Sequence[Family]:
        """All that it exposes, born at 0 as far as it is known beforehand."""

    def update(self, batch: Batch) -> None:
        """Count each row of a batch once."""

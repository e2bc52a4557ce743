"""What came in: rows that were rejected, and how far behind the log the counters are."""

from __future__ import annotations

from collections import Counter

from ml_exporter.families import Family
from ml_exporter.formats.rows import REASONS


class Intake:
    """Of one model: rejected rows have no version of their own."""

    def __init__(self, model: str, version: str, source_id: str) -> None:
        of = {"model": model, "version": version}
        self._rejected = Family(
            "ml_rows_rejected_total",
            "Rows of predictions and labels that could not be used, by reason.",
            "counter",
            ("reason",),
            of=of,
        )
        for reason in REASONS:
            self._rejected.add(reason)
        self._from_future = Family(
            "ml_future_timestamps_total",
            "Rows with a time more than 5 minutes after they were read, by log.",
            "counter",
            ("log",),
            of=of,
        )
        for log in ("predictions", "labels"):
            self._from_future.add(log)
        self._bytes = Family(
            "ml_source_lag_bytes", "Bytes that are there and not yet counted.", "gauge", of=of
        )
        self._seconds = Family(
            "ml_source_lag_seconds",
            "How long there have been bytes that are not yet counted.",
            "gauge",
            of=of,
        )
        info = Family(
            "ml_source_info",
            "1; alike where two exporters read one source, which counts its rows twice.",
            "gauge",
            ("source_id",),
            of=of,
        )
        info.set(1, source_id)
        self.families = (self._rejected, self._from_future, self._bytes, self._seconds, info)

    def reject(self, rows: Counter[str]) -> None:
        for reason, count in rows.items():
            self._rejected.inc(count, reason)

    def add_from_future(self, rows: int, log: str) -> None:
        self._from_future.inc(rows, log)

    def set_lag(self, size: int, seconds: float) -> None:
        self._bytes.set(size)
        self._seconds.set(seconds)

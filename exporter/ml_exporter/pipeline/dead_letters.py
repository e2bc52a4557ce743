"""The log of rejected rows: each as it was read, where it was, and what is wrong with it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from ml_exporter.config.line_log import REDACTED, DeadLetters, found_in
from ml_exporter.families import Family
from ml_exporter.formats.problems import problem_of
from ml_exporter.formats.rejections import LONGEST_KEPT, Rejection
from ml_exporter.monitors.notable import time_text
from ml_exporter.pipeline.line_writer import DEAD_LETTERS, LineWriter
from ml_exporter.pipeline.streams import Work

_LONGEST_TOLD = LONGEST_KEPT // 2  # bytes of a row: a match of a pattern may go beyond them


class DeadLetterLog:
    """Writes a line about each rejected row of all models. Without settings it writes none."""

    def __init__(self, settings: DeadLetters | None) -> None:
        self._writer = LineWriter(DEAD_LETTERS, settings)
        self.follow(settings)

    @property
    def families(self) -> Sequence[Family]:
        return self._writer.families

    def follow(self, settings: DeadLetters | None) -> None:
        """Write as these settings say from now on."""
        self._writer.settings = settings
        redact = () if settings is None else settings.redact
        self._patterns = [found_in(pattern) for pattern in redact]

    def write(self, model: str, work: Work, now: float) -> None:
        """Write about the rows that were rejected of a chunk, which has been counted."""
        most = self._writer.most_lines
        if not most or not work.rejected:
            return
        kept = work.rejected.kept
        lines = [self._line(model, work, rejection, now) for rejection in kept[:most]]
        self._writer.write(model, lines, len(kept) - len(lines) + work.rejected.others)

    def close(self) -> None:
        """Write what is queued, unless that takes long."""
        self._writer.close()

    def _line(self, model: str, work: Work, rejection: Rejection, now: float) -> bytes:
        stream = work.stream
        line: dict[str, object] = {
            "time": time_text(now),
            "model": model,
            "log": stream.name,
            "source": work.chunk.part.name,
        }
        if work.chunk.counts_bytes and rejection.offset is not None:
            line["offset"] = work.start + rejection.offset
        else:
            line["from_offset"] = work.start
        line["reason"] = rejection.reason
        what = rejection.problem or problem_of(rejection.reason, stream.layout, stream.format)
        line["problem"] = what
        if rejection.rows > 1:
            line["rows"] = rejection.rows
        if rejection.row:
            line |= self._told(rejection.row)
            if rejection.size > _LONGEST_TOLD:
                line["size"] = rejection.size
        return json.dumps(line).encode() + b"\n"

    def _told(self, row: bytes) -> dict[str, str]:
        """The beginning of a row as a line may have it."""
        searched = row.decode(errors="replace")
        if any(pattern.matches(searched) for pattern in self._patterns):
            return {"row": REDACTED}
        told = row[:_LONGEST_TOLD]
        try:
            return {"row": told.decode()}
        except UnicodeDecodeError as error:
            if len(row) > len(told) and error.reason == "unexpected end of data":
                return {"row": told[: error.start].decode()}  # cut within a character
            return {"row_base64": base64.b64encode(told).decode()}

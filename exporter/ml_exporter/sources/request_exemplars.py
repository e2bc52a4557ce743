"""Exemplars of requests: the latest one in each bucket of their durations that has a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ml_exporter.capture import read_frame, times_of
from ml_exporter.families import Exemplar
from ml_exporter.formats.traces import trace_of
from ml_exporter.request_counts import BUCKETS


class RequestExemplars:
    """Of one model, by bucket: of requests as the client saw them, and of the model alone."""

    def __init__(self) -> None:
        self.durations: Mapping[int, Exemplar] = {}
        self.upstream: Mapping[int, Exemplar] = {}

    def observe(self, frames: Sequence[bytes]) -> None:
        """Look at frames, of which no more heads are read than there are buckets."""
        times = np.array([times_of(frame) for frame in frames])
        self.durations = {**self.durations, **_found(frames, times, 1)}
        self.upstream = {**self.upstream, **_found(frames, times, 2)}


def _found(
    frames: Sequence[bytes], times: np.ndarray[tuple[int, int], np.dtype[np.float64]], column: int
) -> dict[int, Exemplar]:
    buckets = np.searchsorted(BUCKETS, times[:, column]).tolist()
    found = {}
    for bucket, place in {bucket: place for place, bucket in enumerate(buckets)}.items():
        trace = trace_of(read_frame(frames[place]).request_head)
        if trace is not None:
            time, value = times[place, 0], times[place, column]
            found[bucket] = Exemplar(trace, float(value), float(time))
    return found

"""Requests for a model, as the proxy counted them: by status, and how long they took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ml_exporter.families import Exemplar, Family, Histogram
from ml_exporter.request_counts import BUCKETS, Request

# What is there from the first scrape.
EXPECTED = frozenset(("POST", code) for code in (200, 400, 404, 422, 429, 499, 500, 502, 503, 504))


class Requests:
    """The series of one model. Its counters are the proxy's; here they are only shown."""

    def __init__(self, model: str, version: str) -> None:
        of = {"model": model, "version": version}
        self._requests = Family(
            "ml_requests_total",
            "HTTP requests for the model that passed through the proxy.",
            "counter",
            ("code", "method"),
            of=of,
            kept=False,
        )
        self._durations = Histogram(
            "ml_request_duration_seconds",
            "How long requests took, from their first byte to the last one of the answer.",
            BUCKETS,
            of=of,
            kept=False,
        )
        self._upstream = Histogram(
            "ml_upstream_duration_seconds",
            "How long the model took to answer, from the last byte of a request.",
            BUCKETS,
            of=of,
            kept=False,
        )
        self.families = (self._requests, self._durations, self._upstream)
        self.expect(sorted(EXPECTED))

    def expect(self, requests: Iterable[Request]) -> None:
        """Have series of them, at 0."""
        for method, code in requests:
            self._requests.add(str(code), method)

    def show(
        self,
        requests: Mapping[Request, int],
        durations: tuple[NDArray[np.float64], NDArray[np.float64]],
    ) -> None:
        """Take over what was counted; see RequestCounts for what durations are."""
        for (method, code), count in requests.items():
            self._requests.set(count, str(code), method)
        for family, values in zip((self._durations, self._upstream), durations, strict=True):
            family.show(values[:-1], values[-1])

    def exemplify(
        self,
        durations: Mapping[int, Exemplar],
        upstream: Mapping[int, Exemplar],
        failed: Mapping[Request, Exemplar],
    ) -> None:
        """Name the traces of some requests, by the place of their bucket.

        Those that `failed` are by method and status, of which there are series.
        """
        self._requests.exemplars = {
            self._requests.add(str(code), method): one for (method, code), one in failed.items()
        }
        self._durations.exemplars, self._upstream.exemplars = durations, upstream

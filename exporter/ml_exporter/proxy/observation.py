"""What the proxy learns of each exchange: counts, and a bounded copy for telemetry.

Nothing here waits, and nothing that goes wrong here reaches a request.
"""

from __future__ import annotations

import logging
import math
import time
from random import random
from time import perf_counter

from ml_exporter.capture import FAILED, Capture, write_frame
from ml_exporter.proxy.bodies import Copy
from ml_exporter.proxy.heads import RequestHead
from ml_exporter.proxy.lanes import Recorder
from ml_exporter.proxy.names import Names
from ml_exporter.proxy.routes import LONGEST_REMEMBERED, MOST_REMEMBERED, READING, Route, Routes
from ml_exporter.request_counts import BUCKETS, LAYOUT, method_cell

log = logging.getLogger(__name__)

_PLAIN = (b"POST", b"PUT", b"PATCH", b"DELETE")  # methods of plain exchanges
ABORTED = 499  # what nginx calls a request whose client went away
_MOST_FAILURES = 10.0  # a second, of which telemetry learns more than that they are


class Exchange:
    """A request in flight, and its answer so far."""

    __slots__ = (
        *("asked", "first", "is_observed", "request", "request_body", "request_bytes"),
        *("response_body", "response_bytes", "route", "started", "status"),
    )

    def __init__(
        self, request: RequestHead, head: bytes, route: Route | None, is_observed: bool
    ) -> None:
        self.request = request
        self.request_bytes = head
        self.route = route
        self.is_observed = is_observed
        self.started = self.asked = perf_counter()  # asked: when the model had all of the request
        self.first = 0.0  # when the first event of a streamed answer came
        self.status = 0
        self.response_bytes = b""
        # A body that came at once is as it is; of others there is a copy.
        self.request_body: bytes | Copy = b""
        self.response_body: bytes | Copy = b""


class Observer:
    """Counts exchanges, and writes those that are to be observed to the buffer."""

    def __init__(
        self,
        capture: Capture,
        routes: Routes,
        *,
        body_limit: int,
        share: float = 1.0,
        rate: float | None = None,
        names: Names | None = None,
    ) -> None:
        """`share` of the exchanges are observed, at most `rate` of them a second."""
        self._names = names
        self._capture = capture
        self._counts = capture.counts
        self._routes = routes
        self._body_limit = body_limit
        self._share = share
        self._rate = rate
        self.recorder = Recorder(
            *capture.memory,
            counts=capture.counts.cells,
            layout=LAYOUT,
            buckets=BUCKETS,
            methods=tuple(map(method_cell, _PLAIN)),
            body_limit=body_limit,
            share=share,
        )
        self.tick()

    def begin(self, request: RequestHead, head: bytes) -> Exchange:
        """An exchange whose request has come as far as its head."""
        name = self._names.in_head(head) if self._names is not None else None
        route = self._routes.of(request.method, request.target, name)
        if request.method in _PLAIN and (route is None or route.place >= 0):
            self._remember(request.target, -1 if route is None else route.place)
        is_observed = (
            route is not None
            and request.method not in READING
            and (self._share >= 1 or random() < self._share)
        )
        return Exchange(request, head, route, is_observed)

    def _remember(self, target: bytes, place: int) -> None:
        """What asks for it can be plain from now on, where the path alone tells the model."""
        if self._names is not None or len(target) > LONGEST_REMEMBERED:
            return
        places = self.recorder.routes
        if len(places) >= MOST_REMEMBERED:
            places.clear()
        places[target] = place

    def copy(self, exchange: Exchange) -> Copy | None:
        """Where to copy a body that comes in pieces."""
        is_read = self._names is not None and self._names.reads_bodies
        return Copy(self._body_limit) if exchange.is_observed or is_read else None

    def end(self, exchange: Exchange, status: int, *, whole: bool = True) -> None:
        """An exchange is over: the client has the answer, or none is to come."""
        route = exchange.route
        if route is None:
            return
        try:
            self._end(exchange, route, status, whole)
        except Exception:
            log.exception("an exchange could not be observed")
            self._counts.drop("error")

    def tick(self) -> None:
        """A second has passed."""
        self.recorder.clock = time.time() - perf_counter()
        self.recorder.allowed = math.inf if self._rate is None else self._rate
        self.recorder.failures = _MOST_FAILURES

    def _end(self, exchange: Exchange, route: Route, status: int, whole: bool) -> None:
        if self._names is not None and self._names.reads_bodies:
            named = self._by_body(self._names, exchange, route)
            if named is None:
                return
            route = named
        if route.place < 0:
            if not 200 <= status < 300:
                return
            self._routes.answered(route)
        ended = perf_counter()
        duration = ended - exchange.started
        upstream = ended - exchange.asked
        self._counts.count(route.place, exchange.request.method, status, duration, upstream)
        if status >= FAILED:
            self._tell_of_failure(exchange, route, status, duration, upstream)
        if not exchange.is_observed or not 200 <= status < 300:
            return
        asked: bytes | Copy | None = exchange.request_body
        answered: bytes | Copy | None = exchange.response_body
        if isinstance(asked, Copy):
            asked = asked.whole()
        if isinstance(answered, Copy):
            answered = answered.whole()
        limit = self._body_limit
        if not whole:
            reason = "aborted"
        elif asked is None or answered is None or len(asked) > limit or len(answered) > limit:
            reason = "too_large"
        elif self._is_beyond_rate():
            reason = "rate"
        else:
            frame = write_frame(
                route.place,
                status,
                self.recorder.clock + exchange.started,
                duration,
                upstream,
                max(exchange.first - exchange.asked, 0.0) if exchange.first else 0.0,
                exchange.request_bytes,
                asked,
                exchange.response_bytes,
                answered,
            )
            if self._capture.put(frame):
                return
            reason = "buffer_full"
        self._counts.drop(reason)

    def _tell_of_failure(
        self, exchange: Exchange, route: Route, status: int, duration: float, upstream: float
    ) -> None:
        """Let telemetry know which request it was; where there is no room, it is only counted."""
        self.recorder.failures -= 1
        if self.recorder.failures < 0:
            return
        came = self.recorder.clock + exchange.started
        head = exchange.request_bytes
        self._capture.put(
            write_frame(*(route.place, status, came, duration, upstream, 0.0), head, b"", b"", b"")
        )

    def _by_body(self, names: Names, exchange: Exchange, route: Route) -> Route | None:
        """The route of a request whose body says the model; what its header says comes before."""
        if names.in_head(exchange.request_bytes) is not None:
            return route
        asked = exchange.request_body
        name = names.in_body(asked.whole() if isinstance(asked, Copy) else asked)
        request = exchange.request
        return route if name is None else self._routes.of(request.method, request.target, name)

    def _is_beyond_rate(self) -> bool:
        self.recorder.allowed -= 1
        return self.recorder.allowed < 0

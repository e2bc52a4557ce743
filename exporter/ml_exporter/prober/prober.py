"""Asks a model behind the proxy what it would have answered if one field had been another one."""

from __future__ import annotations

import http.client
import logging
import math
import re
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import choice

import numpy as np

from ml_exporter.batch import PREDICTION, Batch, Field
from ml_exporter.capture import Frame, read_frame, split_frames
from ml_exporter.columns import Column
from ml_exporter.config.config import ConfigError, ProxySource
from ml_exporter.config.proxy_settings import Endpoint, UpstreamTls
from ml_exporter.formats.rows import Layout
from ml_exporter.prober.probe_pace import Breaker, Load, Traffic
from ml_exporter.prober.probing import Requests, Sample, Unprobed, changed, without_coding
from ml_exporter.proxy.upstream_tls import upstream_context

log = logging.getLogger(__name__)

HEADER = "X-ML-Exporter-Probe"
_MOST_WAITING = 16  # exchanges, of which the last one is taken
_OFFERED_EVERY = 0.05  # seconds
_OLDEST = 60.0  # seconds since a request that is asked again
_LEAST_OTHERS, _MOST_OTHERS = 10, 200  # requests that values are taken of
_TIMEOUT = 5.0  # seconds
_SLOW = 10.0  # times what the model took for the request itself
_LEAST_SLOW = 1.0  # seconds
_LARGEST_ANSWER = 1 << 20  # bytes
_SAME = 1e-3  # relative: by how much an answer to the same request may differ
_REST = 0.25  # seconds between looks while there is nothing to ask
# What belongs to the connection, to the body as it was, or names the request itself.
_LEFT_OUT = re.compile(
    r"connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-length"
    r"|content-encoding|accept-encoding|x-request-id|idempotency-key|traceparent|tracestate"
    r"|if-.*|range",
    re.IGNORECASE,
)
_ABOUT_ANSWER = ("content-type", "content-encoding")


@dataclass
class Probed:
    """What probing has brought since the last look: attributed rows, and requests by result."""

    rows: list[Batch] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)


class Prober:
    """One model's probes, in a thread of their own; nothing waits for it.

    A round asks one sampled request anew, and then once for each field with that field's value
    taken from another request. It ends without a result where the model fails, is slow, or
    doesn't give the same answer to the same request. Nothing is asked twice.
    """

    def __init__(
        self,
        server: Server,
        layout: Layout,
        source: ProxySource,
        *,
        regression: bool,
    ) -> None:
        """`source` has a `probe_rate`."""
        assert source.probe_rate
        self._server = server
        self._requests = Requests(layout, source)
        self._regression = regression
        self._between = 1 / source.probe_rate
        self._about_answer = (*_ABOUT_ANSWER, source.version_header)
        self._traffic: Traffic | None = None
        self._random = np.random.default_rng()
        self._load, self._breaker = Load(), Breaker()
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._others: deque[Sample] = deque(maxlen=_MOST_OTHERS)
        self._lock = threading.Lock()
        self._probed = Probed()
        self._asked_at = self._offered_at = -math.inf
        self._reasons: set[str] = set()  # that were logged
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the request that is being asked, if there is one."""
        self._stopping.set()

    def offer(self, frames: bytes) -> None:
        """What the proxy has observed, of which a sample is kept."""
        now = time.monotonic()
        if now - self._offered_at >= _OFFERED_EVERY:
            self._offered_at = now
            self._waiting.append(choice(split_frames(frames)))

    def see(self, traffic: Traffic | None) -> None:
        """What the proxy has counted by now; None: the model is not to be probed."""
        self._traffic = traffic

    def take(self) -> Probed:
        """What there is since the last time."""
        with self._lock:
            taken, self._probed = self._probed, Probed()
        return taken

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                sample = self._next()
                if sample is None:
                    self._stopping.wait(_REST)
                else:
                    self._round(sample)
                    self._others.append(sample)
            except Unprobed as reason:
                self._count("unusable")
                if str(reason) not in self._reasons:
                    self._reasons.add(str(reason))
                    log.info("a request can't be probed", extra={"reason": str(reason)})
                self._stopping.wait(max(self._between, _REST))  # to look in vain takes time, too
            except Exception as error:
                self._breaker.failed(time.monotonic())
                self._server.forget_files()
                self._count("failed")
                expected = isinstance(error, OSError | http.client.HTTPException)
                text = str(error) or type(error).__name__
                log.warning("probes pause", extra={"error": text}, exc_info=not expected)

    def _next(self) -> Sample | None:
        """A request that was answered just now, while there is time for probes."""
        now = time.monotonic()
        if not self._waiting or not self._may_ask(now):
            return None
        frame = read_frame(self._waiting.pop())
        if time.time() - frame.time > _OLDEST:
            return None
        sample = self._requests.sample(frame, self._random)
        if not sample.places:
            raise Unprobed("none of the fields stands in the request")
        return sample

    def _may_ask(self, now: float) -> bool:
        traffic = self._traffic
        if traffic is None:
            return False
        self._load.look(now, traffic)
        return not self._load.is_high and not self._breaker.is_open(now)

    def _round(self, sample: Sample) -> None:
        if len(self._others) < _LEAST_OTHERS:
            return
        again = self._ask(sample, sample.unchanged())
        if again is None:
            return
        was = sample.answered
        if self._changed(was, again, sample) > _SAME * self._size(was, sample):
            raise Unprobed("the same request has another answer")
        attributed = dict.fromkeys(self._requests.names, 0.0)
        for path in sample.places:
            others = [one for one in self._others if path in one.places]
            value = choice(others).value(path) if others else sample.value(path)
            if value == sample.value(path):
                continue  # the same request has the same answer
            answer = self._ask(sample, sample.with_value(path, value))
            if answer is None:
                return
            attributed[path] = self._changed(again, answer, sample)
        self._breaker.worked()
        fields = {
            Field("attribution", name): Column([value])
            for path, value in attributed.items()
            for name in self._requests.names[path]
        }
        versions = None if sample.version is None else [sample.version]
        with self._lock:
            self._probed.rows.append(Batch(1, fields, versions=versions))

    def _changed(self, before: Batch, after: Batch, sample: Sample) -> float:
        versions = before.versions, after.versions
        if None not in versions and versions[0] != versions[1]:
            raise Unprobed("another version has answered")
        return changed(before, after, sample.row, regression=self._regression)

    def _size(self, answered: Batch, sample: Sample) -> float:
        """By what an answer's change is large or small: 1 of a score."""
        if not self._regression:
            return 1.0
        return abs(float(answered.column(PREDICTION).numbers.values[sample.row]))

    def _ask(self, sample: Sample, body: bytes) -> Batch | None:
        """What the model answers, in its turn; None where probes are to stop now."""
        while True:
            now = time.monotonic()
            if self._stopping.is_set() or not self._may_ask(now):
                return None
            left = self._asked_at + self._between - now
            if left <= 0:
                break
            self._stopping.wait(min(left, _REST))
        self._asked_at = now
        answer = post(self._server, sample.frame, body, self._about_answer)
        took = time.monotonic() - now
        if not 200 <= answer.status < 300:
            raise ConnectionError(f"the model answered {answer.status}")
        if took > max(_SLOW * sample.frame.upstream, _LEAST_SLOW):
            raise ConnectionError(f"the model took {took:.2f} seconds")
        self._count("answered")
        return self._requests.read(answer)

    def _count(self, result: str) -> None:
        with self._lock:
            self._probed.results[result] += 1


class Server:
    """The model server that is asked, over TLS if it has it."""

    def __init__(self, endpoint: Endpoint, tls: UpstreamTls) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._context: ssl.SSLContext | None = None

    def connect(self) -> http.client.HTTPConnection:
        """Raises OSError."""
        host, port, is_tls = self._endpoint
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
        if is_tls:
            if self._context is None:
                try:
                    self._context = upstream_context(self._tls)
                except ConfigError as error:
                    raise ConnectionError(str(error)) from None
            plain = socket.create_connection((host, port), _TIMEOUT)
            name = self._tls.server_name or host
            connection.sock = self._context.wrap_socket(plain, server_hostname=name)
        return connection

    def forget_files(self) -> None:
        """Read certificates anew for the next connection: they may have been renewed."""
        self._context = None


def post(server: Server, frame: Frame, body: bytes, names: Sequence[str]) -> Frame:
    """The exchange that a request is with another body; it is marked as a probe.

    `names` are those of the answer's fields that are kept. Raises OSError and HTTPException.
    """
    first, *lines = frame.request_head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    connection = server.connect()
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for line in lines:
            name, _, value = line.partition(":")
            if name and not _LEFT_OUT.fullmatch(name.strip()):
                connection.putheader(name.strip(), value.strip())
        connection.putheader(HEADER, "1")
        connection.putheader("Connection", "close")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read(_LARGEST_ANSWER + 1)
        if len(content) > _LARGEST_ANSWER:
            raise ConnectionError("the answer is large")
        about = ((name, answer.getheader(name)) for name in names)
        head = "".join(f"{name}: {value}\r\n" for name, value in about if value is not None)
    finally:
        connection.close()
    return replace(
        without_coding(frame),
        status=answer.status,
        request_body=body,
        response_head=f"HTTP/1.1 {answer.status} \r\n{head}\r\n".encode("latin-1", "replace"),
        response_body=content,
    )

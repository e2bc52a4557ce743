"""POST /api/v1/predictions, /api/v1/labels, /api/v1/events: what is sent is kept, and answered."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from ml_exporter.config.config import EventSource, Model, SourceSettings
from ml_exporter.formats import Decoded, Layout, decoder
from ml_exporter.formats.problems import problem_of
from ml_exporter.formats.rows import LONGEST_ROW
from ml_exporter.pipeline.streams import present_labels
from ml_exporter.sources.spool import Spool, SpoolFull, Spools
from ml_exporter.web import bodies
from ml_exporter.web.bodies import Refused

log = logging.getLogger(__name__)

Route = Literal["predictions", "labels", "events"]

_Decode = Callable[[bytes, bool], Decoded]

_MOST_NAMED = 100  # rejected items in one answer
_RETRY_FULL = 1  # seconds
_RETRY_BROKEN = 10  # seconds


@dataclass(frozen=True)
class Inlet:
    """Where what is posted for one stream of a model goes, and how it is looked at before."""

    model: str
    route: Route
    format: str
    layout: Layout
    spool: Spool
    limit: int  # bytes that may wait

    def rejected(self, lines: Sequence[bytes]) -> tuple[int, list[tuple[int, str]]]:
        """How many lines the pipeline will reject, and the first of them with their reasons."""
        decode = decoder(self.format, self.layout).decode
        if self.format == "cloudevents":
            each = [self._reasons(decode, [line]) for line in lines]
            named = [(item, next(iter(found))) for item, found in enumerate(each) if found]
            return len(named), named[:_MOST_NAMED]
        total = self._reasons(decode, lines).total()
        named = list(islice(self._search(decode, lines, 0), _MOST_NAMED)) if total else []
        return total, named

    def _reasons(self, decode: _Decode, lines: Sequence[bytes]) -> Counter[str]:
        decoded = decode(b"".join(line + b"\n" for line in lines), True)
        batch, rejected = decoded.batch, decoded.rejected
        if self.route == "labels":
            present_labels(batch, rejected)
        return rejected

    def _search(
        self, decode: _Decode, lines: Sequence[bytes], first: int
    ) -> Iterator[tuple[int, str]]:
        """Which lines are rejected, of some that aren't all accepted."""
        reasons = self._reasons(decode, lines)
        if len(lines) == 1:
            yield from ((first, reason) for reason in islice(reasons, 1))
        elif reasons:
            half = len(lines) // 2
            yield from self._search(decode, lines[:half], first)
            yield from self._search(decode, lines[half:], first + half)


@dataclass
class Inlets:
    """What may be posted at the moment; a reload puts others in their place."""

    now: Sequence[Inlet] = ()
    failing: set[Path] = field(default_factory=set)  # spools that can't be written to

    def find(self, route: Route, model: str | None) -> Inlet:
        """The inlet of a model, or the only one there is; raises Refused."""
        inlets = [inlet for inlet in self.now if inlet.route == route]
        names = ", ".join(inlet.model for inlet in inlets) or "none"
        if model is None:
            if len(inlets) == 1:
                return inlets[0]
            text = "name a model, as in ?model=NAME" if inlets else f"no model takes {route}"
            raise Refused(400 if inlets else 404, f"{text}; these do: {names}")
        for inlet in inlets:
            if inlet.model == model:
                return inlet
        others = [f"/api/v1/{inlet.route}" for inlet in self.now if inlet.model == model]
        instead = f"; {model!r} takes what is posted to {' or '.join(others)}" if others else ""
        raise Refused(404, f"no model {model!r} takes {route}; these do: {names}{instead}")


def inlets(models: Iterable[tuple[Model, Mapping[str, Layout]]], spools: Spools) -> list[Inlet]:
    """The inlets of all models, each given with its layouts by stream."""
    found = []
    for model, layouts in models:
        sources: dict[Literal["predictions", "labels"], SourceSettings]
        sources = {"predictions": model.source}
        if model.labels is not None:
            sources["labels"] = model.labels.source
        for stream, source in sources.items():
            if isinstance(source, EventSource):
                of_events = stream == "predictions" and source.format == "cloudevents"
                route: Route = "events" if of_events else stream
                layout = layouts[stream]
                spool = spools.of(model.name, stream)
                found.append(Inlet(model.name, route, source.format, layout, spool, source.buffer))
    return found


def ingest_pages(inlets: Inlets) -> Blueprint:
    """The three pages to post to; who may is not asked here."""
    pages = Blueprint("ingest", __name__, url_prefix="/api/v1")
    looking = threading.Lock()  # large bodies are taken apart one at a time, or memory is short

    @pages.post("/<any(predictions, labels, events):route>")
    def take(route: Route) -> Response:
        inlet = inlets.find(route, request.args.get("model"))
        encoding = request.headers.get("Content-Encoding", "")
        body = bodies.inflate(_body(), encoding)
        content_type = request.headers.get("Content-Type", "")
        with looking:
            if inlet.format == "cloudevents":
                items = bodies.events(body, content_type, dict(request.headers))
            else:
                items = bodies.rows(body, content_type)
            # What is too large is known by that: there is no need to keep the rest of it.
            lines = [item[: LONGEST_ROW + 1] for item in items]
            total, named = inlet.rejected(lines)
        _keep(inlet, lines, inlets.failing)
        answer = jsonify(
            accepted=len(lines) - total,
            rejected=[
                {
                    "item": item,
                    "reason": reason,
                    "error": problem_of(reason, inlet.layout, inlet.format),
                }
                for item, reason in named
            ],
            rejected_total=total,
        )
        answer.status_code = 400 if lines and total == len(lines) else 200
        return answer

    @pages.errorhandler(Refused)
    def refuse(refused: Refused) -> Response:
        answer = jsonify(error=refused.error)
        answer.status_code = refused.status
        if refused.retry_after is not None:
            answer.headers["Retry-After"] = str(refused.retry_after)
        return answer

    @pages.errorhandler(RequestEntityTooLarge)
    def refuse_body(error: RequestEntityTooLarge) -> Response:
        return refuse(Refused(413, f"the body is larger than {bodies.LARGEST_BODY >> 20} MiB"))

    return pages


def _body() -> bytes:
    """What was sent; raises Refused.

    What is beyond the bound of a body in pieces, and what didn't come of one whose length was said,
    would be left out without a word.
    """
    try:
        body = request.get_data(cache=False)
    except ClientDisconnected as error:
        if "Too Large" in str(error.__context__):  # a piece beyond what the server reads
            raise RequestEntityTooLarge from None
        raise Refused(400, "the body ends in the middle of a piece") from None
    if request.content_length is None:
        if len(body) == bodies.LARGEST_BODY and request.input_stream.read(1):
            raise RequestEntityTooLarge
    elif len(body) < request.content_length:
        raise Refused(400, "the body is shorter than Content-Length says")
    return body


def _keep(inlet: Inlet, lines: Sequence[bytes], failing: set[Path]) -> None:
    """Spool what was sent, rejected items too: the pipeline counts those. Raises Refused."""
    folder = inlet.spool.folder
    data = b"".join(line + b"\n" for line in lines)
    if len(data) > inlet.limit:
        raise Refused(413, f"the body is larger than all that may wait, {inlet.limit} bytes")
    try:
        inlet.spool.append(data, inlet.limit)
    except SpoolFull:
        text = f"{inlet.limit} bytes wait to be counted, and no more may; send this again later"
        raise Refused(429, text, _RETRY_FULL) from None
    except OSError as error:
        if folder not in failing:
            log.error("can't keep what is posted", extra={"path": str(folder), "error": error})
        failing.add(folder)
        raise Refused(503, "can't be kept now; send this again later", _RETRY_BROKEN) from None
    if folder in failing:
        log.info("what is posted can be kept again", extra={"path": str(folder)})
        failing.discard(folder)

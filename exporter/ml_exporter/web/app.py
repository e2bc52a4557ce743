"""The Flask application: `/metrics`, health, reload, and who may ask for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, request

from ml_exporter import exposition
from ml_exporter.access import CHALLENGE, PROBES, Decision, Gate
from ml_exporter.config.roles import UserRole
from ml_exporter.publication import Publication
from ml_exporter.web.bodies import LARGEST_BODY

_INGEST = "/api/v1/"  # where predictions, labels and events are posted


@dataclass
class Door:
    """What a reload may change about who is let in: the gate, and headers of every response."""

    gate: Gate
    headers: Mapping[str, str]


def create_app(
    publication: Publication,
    door: Door,
    *,
    is_ready: Callable[[], bool],
    reload: Callable[[], list[str]],
    telemetry_path: str = "/metrics",
    pages: Sequence[Blueprint] = (),
) -> Flask:
    """`reload` takes up the configuration anew, and returns what was wrong with it."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    for blueprint in pages:
        app.register_blueprint(blueprint)

    @app.before_request
    def ask_the_gate() -> Response | None:
        if request.path in PROBES:
            return None
        headers = list(request.headers.items())
        role = _role(request.method, request.path)
        decision = door.gate.decide(role, request.remote_addr or "", headers)
        if decision is Decision.ALLOW:
            return None
        response = _plain(f"{decision.name.lower()}\n", decision.value)
        if decision is Decision.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = CHALLENGE
        return response

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(door.headers)
        return response

    @app.get(telemetry_path)
    def metrics() -> Response:
        edition = publication.current
        openmetrics, content_type = exposition.choose(request.headers.get("Accept"))
        body = exposition.render(edition.samples, openmetrics)
        compressed = request.accept_encodings["gzip"] > 0
        if compressed:
            body = exposition.compress(body)

        def send() -> Iterator[bytes]:
            yield body
            # The server asks for more when it has sent this: the scrape is complete.
            publication.scraped(edition.number)

        response = Response(send(), content_type=content_type)
        response.content_length = len(body)
        response.headers["Vary"] = "Accept, Accept-Encoding"
        if compressed:
            response.headers["Content-Encoding"] = "gzip"
        return response

    @app.get("/-/healthy")
    def healthy() -> Response:
        return _plain("healthy\n")

    @app.get("/-/ready")
    def ready() -> Response:
        return _plain("ready\n") if is_ready() else _plain("not ready\n", 503)

    @app.route("/-/reload", methods=["POST", "PUT"])
    def reload_configuration() -> Response:
        errors = reload()
        if errors:
            return _plain("".join(f"{error}\n" for error in errors), 500)
        return _plain("reloaded\n")

    return app


def _role(method: str, path: str) -> UserRole:
    """What one must be allowed to do, to ask for that."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return "scrape"
    return "ingest" if path.startswith(_INGEST) else "admin"


def _plain(text: str, status: int = 200) -> Response:
    return Response(text, status, content_type="text/plain; charset=utf-8")

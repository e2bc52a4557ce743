"""Which model a request is for: by its path, and by the name that it says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from ml_exporter.request_counts import RequestCounts

MOST_REMEMBERED = 4096  # paths
LONGEST_REMEMBERED = 1024  # bytes
READING = (b"GET", b"HEAD", b"OPTIONS")  # methods that ask for no prediction
# Health, metadata and administration of the servers whose protocols we know.
_NO_PREDICTION = re.compile(
    r"/v2/?|/v2/(health|repository|logging|trace|systemsharedmemory|cudasharedmemory)(/.*)?"
    r"|/v[12]/models(/[^/:]+(/versions/[^/:]+)?(/(ready|config|stats|load|unload|metadata|labels))?)?"
    r"|/models(/.*)?|/(healthz?|livez|readyz|ping|metrics|version|docs|openapi\.json|docs\.json)"
    r"|/(health|api/v[\d.]+/(health|metadata))(/.*)?|/?"
)
_NAMES = re.compile(
    r"/v[12]/models/([^/:]+)|/predictions/([^/]+)|/seldon/[^/]+/([^/]+)/|/models/([^/]+)/invoke"
    r"|/openai/deployments/([^/]+)/"
)
_NAMELESS = re.compile(r"/invocations/?|/api/v[\d.]+/predictions/?|/v1/(chat/)?completions/?")


@dataclass(slots=True)
class Route:
    """A model that requests are for."""

    name: str
    place: int = -1  # among the counts; -1: it is given one when it has answered
    any_method: bool = False  # requests that only read count, too


class Routes:
    """Paths of models; or each path that may be asked for predictions tells its model."""

    def __init__(
        self, models: Iterable[tuple[str, str | None]] | None, counts: RequestCounts
    ) -> None:
        """`models` are names with their path, in which `*` is any part, and None every path.

        Without a list of models, paths tell.
        """
        self._counts = counts
        self._tells = models is None
        self._patterns = [
            (_pattern(path), Route(name, counts.place(name), path is not None))
            for name, path in models or ()
        ]
        self._known: dict[bytes | tuple[bytes, str], Route | None] = {}

    def of(self, method: bytes, target: bytes, name: str | None = None) -> Route | None:
        """The model that a request is for, if it is for one; `name` is what it says it is."""
        key = target if name is None else (target, name)
        try:
            route = self._known[key]
        except KeyError:
            route = self._find(target.partition(b"?")[0].decode("latin-1"), name)
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            if len(target) <= LONGEST_REMEMBERED:
                self._known[key] = route
        if route is None or (method in READING and not route.any_method):
            return None
        return route

    def answered(self, route: Route) -> None:
        """A model without a place has answered: it exists."""
        route.place = self._counts.place(route.name)

    def _find(self, path: str, name: str | None) -> Route | None:
        for pattern, route in self._patterns:
            if name not in (None, route.name):
                continue
            if pattern.fullmatch(path) and (route.any_method or not _NO_PREDICTION.fullmatch(path)):
                return route
        if not self._tells or _NO_PREDICTION.fullmatch(path):
            return None
        return Route(name_of(path))


def name_of(path: str) -> str:
    """What the model at a path is called."""
    if found := _NAMES.search(path):
        return unquote(next(name for name in found.groups() if name))
    if _NAMELESS.fullmatch(path):
        return "model"
    return unquote(path).strip("/").replace("/", "-") or "model"


def _pattern(path: str | None) -> re.Pattern[str]:
    if path is None:
        return re.compile(".*", re.DOTALL)
    parts = [re.escape(part) for part in path.split("*")]
    return re.compile("[^/]*".join(parts) + ("" if path.endswith("/") else "/?"))

"""What a request says its model is called, where one path is that of several."""

from __future__ import annotations

import msgspec

from ml_exporter.capture import field_pattern
from ml_exporter.config.proxy_settings import ModelName

_LONGEST = 200  # characters; nobody calls a model so
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)


class Names:
    """Looks for names in a header, or else in the JSON of a body."""

    def __init__(self, settings: ModelName) -> None:
        self.reads_bodies = bool(settings.field)
        self._field = settings.field.split(".") if settings.field else ()
        self._header = field_pattern(settings.header) if settings.header else None

    def in_head(self, head: bytes) -> str | None:
        """A name, if there is one; of several headers, that of the first."""
        found = self._header.search(head) if self._header is not None else None
        return _usable(found[1].decode("utf-8", "replace")) if found else None

    def in_body(self, body: bytes | None) -> str | None:
        """A name; None where the body isn't there, is no JSON, or has none."""
        if not self._field or not body:
            return None
        try:
            raw = msgspec.Raw(body)
            for name in self._field:
                raw = _OBJECT.decode(raw)[name]
            return _usable(_TEXT.decode(raw))
        except (msgspec.MsgspecError, KeyError, UnicodeError, RecursionError):
            return None


def _usable(name: str) -> str | None:
    name = name.strip()
    return name if 0 < len(name) <= _LONGEST else None

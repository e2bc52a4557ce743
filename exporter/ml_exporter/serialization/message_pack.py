"""Maps of texts to numbers and texts, as MessagePack.

https://github.com/msgpack/msgpack/blob/master/spec.md. They are read by msgspec where that is
installed, which takes a fifth of the time, or else by what is here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

__all__ = ["FLOAT_64", "head", "maps", "text"]

FLOAT_64 = b"\xcb"  # what a number begins with; its eight bytes follow, the greatest first

_FIXMAP, _MAP_16, _ARRAY_32, _FIXSTR = 0x80, b"\xde", b"\xdd", 0xA0
_MOST_OF_FIXMAP, _MOST_OF_FIXSTR = 15, 31
_WIDTHS = {0xD9: 1, 0xDA: 2, 0xDB: 4}  # bytes of the length of a text, by its first byte
_EMPTY = bytes([_FIXMAP])

Map = dict[str, float | str]


def head(entries: int) -> bytes:
    """What a map of so many entries begins with: nothing, if there are none."""
    if not entries:
        return b""
    if entries <= _MOST_OF_FIXMAP:
        return bytes([_FIXMAP | entries])
    return _MAP_16 + entries.to_bytes(2)


def text(text: str) -> bytes:
    """A text without lone surrogates, which are no UTF-8."""
    data = text.encode("utf-8", "replace")
    if len(data) <= _MOST_OF_FIXSTR:
        return bytes([_FIXSTR | len(data)]) + data
    kind, width = next((k, w) for k, w in _WIDTHS.items() if len(data) < 1 << 8 * w)
    return bytes([kind]) + len(data).to_bytes(width) + data


def maps(rows: Sequence[bytes]) -> list[Map]:
    """What rows hold: nothing, if they are empty, or can't be read."""
    try:
        return _all_maps(rows)
    except ValueError:
        return [_map_or_nothing(row) for row in rows]


def _map_or_nothing(row: bytes) -> Map:
    try:
        return _all_maps([row])[0]
    except ValueError:
        return {}


def _map(row: bytes) -> Map:
    """A map; raises ValueError for anything else."""
    try:
        entries, at = _entries(row)
        found: Map = {}
        for _ in range(entries):
            name, at = _text_at(row, at)
            if row[at : at + 1] == FLOAT_64:
                found[name], at = struct.unpack_from(">d", row, at + 1)[0], at + 9
            else:
                found[name], at = _text_at(row, at)
    except (IndexError, KeyError, struct.error):
        raise ValueError("not a map of numbers and texts") from None
    if at != len(row):
        raise ValueError("more than a map")
    return found


def _entries(row: bytes) -> tuple[int, int]:
    """How many a map has, and where they begin."""
    if row[:1] == _MAP_16:
        return int.from_bytes(row[1:3]), 3
    if row[0] & 0xF0 != _FIXMAP:
        raise ValueError("not a map")
    return row[0] & _MOST_OF_FIXMAP, 1


def _text_at(row: bytes, at: int) -> tuple[str, int]:
    """A text, and where it ends."""
    kind, start = row[at], at + 1
    if _FIXSTR <= kind <= _FIXSTR + _MOST_OF_FIXSTR:
        size = kind - _FIXSTR
    else:
        start += _WIDTHS[kind]
        size = int.from_bytes(row[at + 1 : start])
    end = start + size
    if end > len(row):
        raise ValueError("cut off")
    return row[start:end].decode(), end


def maps_in_python(rows: Sequence[bytes]) -> list[Map]:
    """What rows hold that can all be read; raises ValueError."""
    return [_map(row or _EMPTY) for row in rows]


def _by_msgspec() -> Callable[[Sequence[bytes]], list[Map]]:
    """The same; raises ImportError."""
    import msgspec

    decode = msgspec.msgpack.Decoder(list[Map]).decode

    def maps(rows: Sequence[bytes]) -> list[Map]:
        size = len(rows).to_bytes(4)
        # All as one array, which is decoded much faster than each by itself.
        try:
            return decode(b"".join([_ARRAY_32, size, *(row or _EMPTY for row in rows)]))
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from None

    return maps


try:
    _all_maps = _by_msgspec()
except ImportError:
    _all_maps = maps_in_python

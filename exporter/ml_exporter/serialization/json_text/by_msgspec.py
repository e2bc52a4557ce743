"""JSON by msgspec, which is written in C; `standard.py` says what each function does."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import MsgspecError as NotJson

__all__ = ["NotJson", "decimals", "decode", "encode", "encoder", "size"]

_DECIMALS = msgspec.json.Decoder(list[float | None])
_PARTS = msgspec.json.Decoder(list[msgspec.Raw] | dict[str, msgspec.Raw])

decode = msgspec.json.decode
decimals = _DECIMALS.decode
encode = msgspec.json.encode


def encoder(plain: Callable[[object], object]) -> Callable[[object], bytes]:
    """NaN is written as null."""
    return msgspec.json.Encoder(enc_hook=plain, decimal_format="number").encode


def size(text: bytes) -> int:
    return len(_PARTS.decode(text))

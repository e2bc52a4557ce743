"""JSON, strictly: read and written by msgspec where that is installed, or else by Python's json.

RFC 8259: NaN, Infinity, numbers beyond a float's and half a surrogate pair are no JSON. Of a name
that occurs twice in an object the last value counts. The exporter always has msgspec; an
application that has a Monitor need not.
"""

from __future__ import annotations

from ml_exporter.serialization.json_text.indented import indented
from ml_exporter.serialization.json_text.standard import check_pairs, integer

__all__ = [
    "NotJson",
    "check_pairs",
    "decimals",
    "decode",
    "encode",
    "encoder",
    "indented",
    "integer",
    "size",
]

try:
    from ml_exporter.serialization.json_text.by_msgspec import (
        NotJson,
        decimals,
        decode,
        encode,
        encoder,
        size,
    )
except ImportError:
    from ml_exporter.serialization.json_text.standard import (  # type: ignore[assignment]
        NotJson,
        decimals,
        decode,
        encode,
        encoder,
        size,
    )

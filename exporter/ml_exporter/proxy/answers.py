"""Answers of the proxy's own: in place of the model server's, and to probes."""

from __future__ import annotations

from ml_exporter.access import CHALLENGE
from ml_exporter.proxy.heads import Fields

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def answer(status: int, text: str, *, head_only: bool = False, fields: Fields = ()) -> bytes:
    """A plain answer, after which the connection ends."""
    body = f"{text}\n"
    more = "".join(f"{name.decode()}: {value.decode('latin-1')}\r\n" for name, value in fields)
    if status == 401:
        more += f"WWW-Authenticate: {CHALLENGE}\r\n"
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body.encode())}\r\n"
        f"{more}Connection: close\r\n\r\n"
    ).encode("latin-1")
    return head if head_only else head + body.encode()

"""An application of several workers: what gunicorn and uvicorn run in test_workers.py."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from ml_exporter import Monitor

monitor = Monitor(
    "m",
    task="binary",
    positive="1",
    features=["x"],
    labels={"wait": "1h"},
    learn={"rows": 50},
    state=os.environ["STATE"],
    first_scrape_wait=0,
)
monitor.start_http_server(int(os.environ["METRICS_PORT"]), "127.0.0.1")


def answer(query: str) -> bytes:
    """`?predict=ID` or `?label=ID`: who answered."""
    said = {key: values[0] for key, values in parse_qs(query).items()}
    if "predict" in said:
        monitor.log({"x": float(said["predict"]) % 7}, prediction="1", id=said["predict"])
    elif "label" in said:
        monitor.label(said["label"], "1")
    return json.dumps({"pid": os.getpid()}).encode()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer(environ["QUERY_STRING"])]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        monitor.close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = answer(scope["query_string"].decode())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

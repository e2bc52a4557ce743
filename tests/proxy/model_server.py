"""A model server: credit in KServe's V1 protocol, risk in Open Inference's, and a chat."""

import json
import ssl
import struct
import sys
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FIELD = "Inference-Header-Content-Length"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece

    def do_GET(self) -> None:
        if self.path.startswith("/zeros/"):
            self._zeros(int(self.path.removeprefix("/zeros/")))
        elif self.path == "/events":
            self._events()
        elif self.path == "/probes":
            self._answer(200, str(self.server.probes))
        else:
            self._answer(200, b"{}")

    def _zeros(self, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        for _ in range(length >> 16):
            self.wfile.write(bytes(1 << 16))

    def _events(self) -> None:
        """Two, each at its own time."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(2):
            self.wfile.write(b"data: %d\n\n" % number)
            self.wfile.flush()
            time.sleep(1)
        self.close_connection = True

    def _count(self) -> None:
        length = left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 16)))
        self._answer(200, str(length))

    def do_POST(self) -> None:
        if self.path == "/count":
            self._count()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/models/credit:predict":
            rows = json.loads(body)["instances"]
            self._answer(200, json.dumps({"predictions": [int(r["age"] > 30) for r in rows]}))
        elif self.path == "/v1/models/price:predict":
            self.server.probes += "X-ML-Exporter-Probe" in self.headers
            rows = json.loads(body)["instances"]
            self._answer(200, json.dumps({"predictions": [price(row) for row in rows]}))
        elif self.path == "/v2/models/risk/infer":
            self._answer(*risk(body, int(self.headers[FIELD])))
        elif self.path == "/v1/chat/completions":
            self._chat(json.loads(body))
        elif self.path == "/slow":
            time.sleep(float(body))
            self._answer(200, b"slow")
        else:
            self._answer(500, b"no such model")

    def _chat(self, request: dict[str, Any]) -> None:
        """Say what the user said, a word at a time, after a moment."""
        words = request["messages"][-1]["content"].split()
        about = {"id": "chatcmpl-1", "model": request["model"]}
        usage = {"prompt_tokens": 10 + len(words), "completion_tokens": len(words)}
        end: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        if not request.get("stream"):
            choice = {**end, "message": {"role": "assistant", "content": " ".join(words)}}
            self._answer(200, json.dumps({**about, "choices": [choice], "usage": usage}))
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(b": a moment\n\n")
        time.sleep(0.3)
        for word in words:
            choice = {"index": 0, "delta": {"content": f"{word} "}}
            self._chunk(b"data: %b\n\n" % json.dumps({**about, "choices": [choice]}).encode())
            time.sleep(0.02)
        last = {**about, "choices": [{**end, "delta": {}}]}
        if request.get("stream_options"):
            last["usage"] = usage
        self._chunk(b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(last).encode())
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _answer(self, status: int, body: bytes | str, json_length: int = 0) -> None:
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if json_length:
            self.send_header(FIELD, str(json_length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *arguments: object) -> None: ...


def price(row: dict[str, float]) -> float:
    """What is worth most is the area; the colour is worth nothing."""
    return 100 * row["area"] - 10 * row["age"] + row["floor"]


def risk(body: bytes, json_length: int) -> tuple[int, bytes, int]:
    (tensor,) = json.loads(body[:json_length])["inputs"]
    rows = tensor["shape"][0]
    values = struct.unpack(f"<{rows}f", body[json_length:])
    output = {
        **{"name": "prediction", "datatype": "FP32", "shape": [rows]},
        "parameters": {"binary_data_size": 4 * rows},
    }
    head = json.dumps({"model_name": "risk", "model_version": "2", "outputs": [output]}).encode()
    answer = struct.pack(f"<{rows}f", *(value / 100 for value in values))
    return 200, head + answer, len(head)


class Server(ThreadingHTTPServer):
    """Over TLS with a certificate and its key; with authorities, clients need one, too."""

    request_queue_size = 128
    files: Sequence[str] = ()
    probes = 0  # requests that the exporter sent of its own

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.files:
            cert, key, *authorities = self.files
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(cert, key)
            for authority in authorities:
                context.load_verify_locations(authority)
                context.verify_mode = ssl.CERT_REQUIRED
            request = context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None: ...


if __name__ == "__main__":
    Server.files = sys.argv[2:]
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

"""Open load: requests are sent when they are due, and each one's latency counts from then on.

A client that sends the next request when the last one is answered sends fewer while a server
stalls, and so doesn't see what users would (coordinated omission). This one keeps to its times:
where all connections wait for answers, the requests that are due wait too, and that counts.
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import socket
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    request = sys.stdin.buffer.read()
    gc.disable()  # its pauses are none of the server's
    latencies = ask(options.port, request, options.rate, options.connections, options.seconds)
    latencies = sorted(latencies[len(latencies) // 10 :])  # without the beginning
    print(json.dumps({"requests": len(latencies), **{p: at(latencies, p) for p in ("p50", "p99")}}))


def ask(port: int, request: bytes, rate: float, connections: int, seconds: float) -> list[float]:
    """Send a request over and over; returns the seconds that each took since it was due."""
    sockets = {}
    poll = select.epoll()
    length = 0  # of an answer, which is always the same
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.sendall(request)
        length = len(one.recv(1 << 16))
        sockets[one.fileno()] = one
        poll.register(one, select.EPOLLIN)
    free = list(sockets)
    due = dict.fromkeys(sockets, 0.0)
    latencies: list[float] = []
    total, sent = int(rate * seconds), 0
    start = time.perf_counter() + 0.01
    while len(latencies) < total:
        now = time.perf_counter()
        while free and sent < total and start + sent / rate <= now:
            place = free.pop()
            due[place] = start + sent / rate
            sockets[place].send(request)
            sent += 1
        pause = start + sent / rate - time.perf_counter() if free and sent < total else 1.0
        if pause > 0:  # select, for epoll's timeouts are whole milliseconds
            select.select([poll], [], [], pause)
        for place, _ in poll.poll(0):
            answer = sockets[place].recv(1 << 16)
            if len(answer) != length:
                sys.exit(f"an answer of {len(answer)} bytes, not {length}")
            latencies.append(time.perf_counter() - due[place])
            free.append(place)
    return latencies


def at(latencies: list[float], percentile: str) -> float:
    return latencies[len(latencies) * int(percentile[1:]) // 100]


if __name__ == "__main__":
    main()

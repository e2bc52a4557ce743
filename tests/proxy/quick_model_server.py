"""A model server that answers as fast as it can: with the age that it was asked with."""

import asyncio
import re
import sys
from typing import cast

import uvloop

_AGE = re.compile(rb'"age": (\d+)')


class Connection(asyncio.Protocol):
    answers = 0  # of all connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        if data.startswith(b"GET"):
            self._answer(b"%d" % Connection.answers)
        elif self._data.endswith(b"]}") and (age := _AGE.search(self._data)):
            Connection.answers += 1
            self._answer(b'{"predictions": [%b]}' % age[1])

    def _answer(self, body: bytes) -> None:
        self._data = b""
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

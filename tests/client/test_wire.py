import time
from pathlib import Path
from threading import Timer

from ml_exporter.client import wire


class Busy(wire.Exchange):
    """One whose thread isn't there yet when it is to end."""

    def _accept(self) -> None:
        time.sleep(0.1)
        super()._accept()


def test_what_was_sent_before_an_end_is_taken(tmp_path: Path) -> None:
    """However soon: a process may send before the other one has accepted its connection."""
    taken: list[bytes] = []
    exchange = Busy(tmp_path / "socket", lambda kind, body: taken.append(body))
    link = wire.Link(tmp_path / "socket")
    link.send(wire.LINES, b"a row")
    gone = Timer(0.3, link.close)  # once it has found out
    gone.start()
    exchange.close()
    gone.join()
    assert taken == [b"a row"]
    assert list(tmp_path.iterdir()) == []

"""What the demo says of the notifications that Alertmanager sends it."""

import json
from urllib.request import Request, urlopen

from ml_exporter.demo.servers import Receiver


def test_each_alert_is_told_once_as_it_fires_and_once_as_it_ends() -> None:
    def alert(name: str, status: str = "firing", since: str = "09:00") -> dict[str, str]:
        return {"fingerprint": name, "status": status, "startsAt": since}

    told: list[dict[str, object]] = []
    receiver = Receiver(told.append)
    groups = [
        [alert("drift")],
        [alert("drift"), alert("schema")],
        [alert("drift", "resolved"), alert("schema")],
        [alert("drift", since="09:10"), alert("schema")],
    ]
    try:
        for group in groups:
            urlopen(Request(receiver.url, json.dumps({"alerts": group}).encode())).close()
    finally:
        receiver.stop()
    assert told == [
        alert("drift"),
        alert("schema"),
        alert("drift", "resolved"),
        alert("drift", since="09:10"),
    ]

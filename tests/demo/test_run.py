"""`ml-exporter demo` as a user runs it, stopped by Ctrl-C."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support import find_tool, free_port, get, wait_until


def test_it_shows_the_model_and_stops_all_that_it_started(tmp_path: Path) -> None:
    find_tool("prometheus")
    port = free_port()
    output = tmp_path / "output.txt"
    with output.open("w") as terminal:
        demo = subprocess.Popen(
            [sys.executable, "-m", "ml_exporter", "demo", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=terminal,
            stderr=terminal,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        )
    try:
        page = f"http://127.0.0.1:{port}/"
        wait_until(lambda: "flight-delays" in get(page)[1], 90, page)
        printed = output.read_text()
        assert f"http://127.0.0.1:{port}/" in printed
        assert "accuracy 0.90" in printed
        servers = re.findall(r"(?:Prometheus|Alertmanager) +(http://\S+)", printed)
        assert len(servers) == 2
        for server in servers:
            wait_until(lambda url=f"{server}/-/ready": get(url)[0] == 200, 30, server)
        predictions = re.compile(r"^ml_predictions_total\{.*\} (\d+)$", re.MULTILINE)

        def counted() -> int:
            found = predictions.search(get(f"{page}metrics")[1])
            return int(found[1]) if found else 0

        wait_until(lambda: counted() > 500, 30, "predictions")
    finally:
        demo.send_signal(signal.SIGINT)
        status = demo.wait(30)
    assert status == 0, output.read_text()
    assert [get(f"{server}/-/ready")[0] for server in servers] == [0, 0]
    assert list(tmp_path.glob("ml-exporter-demo-*")) == []
    assert "Traceback" not in output.read_text()

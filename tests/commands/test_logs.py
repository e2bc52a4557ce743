"""Log lines."""

import json
import logging

import pytest

from ml_exporter.commands import logs

pytestmark = pytest.mark.usefixtures("logging_as_before")


@pytest.fixture
def log() -> logging.Logger:
    return logging.getLogger("ml_exporter.somewhere")


def test_logfmt(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    log.info("state is %s", "saved", extra={"path": "/a b", "rows": 3, "none": ""})
    log.warning('so-called "news"')
    first, second = capsys.readouterr().err.splitlines()
    time, rest = first.split(" ", 1)
    assert time.startswith("time=20")
    assert time.endswith("Z")
    assert rest == 'level=info msg="state is saved" path="/a b" rows=3 none=""'
    assert second.split(" ", 1)[1] == 'level=warn msg="so-called \\"news\\""'


def test_json(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    log.error("broken", extra={"error": OSError("no\nspace"), "rows": 3})
    (line,) = capsys.readouterr().err.splitlines()
    fields = json.loads(line)
    assert list(fields) == ["time", "level", "msg", "error", "rows"]
    assert fields["level"] == "error"
    assert fields["error"] == "no\nspace"
    assert fields["rows"] == 3


@pytest.mark.parametrize("format", ["logfmt", "json"])
def test_a_traceback_is_one_line(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], format: logs.LogFormat
) -> None:
    logs.configure("info", format)
    try:
        raise ValueError("bad")
    except ValueError:
        log.exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: bad" in line


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_least_severe_level(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], level: str, shown: list[str]
) -> None:
    logs.configure(level, "json")
    for severity in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.log(severity, "said")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["level"] for line in lines] == shown

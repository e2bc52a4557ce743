"""Where the rows of a model, or its labels, come from: the configuration's `source` as types."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ml_exporter.config import completions
from ml_exporter.config.units import parse_header
from ml_exporter.config.yaml_nodes import Node, Section, suggestion

Start = Literal["start", "end"]

ROW_FORMATS = ("jsonl", "csv", "tsv", "parquet", "arrow")
CAPTURE_FORMATS = ("sagemaker", "sagemaker-ground-truth", "cloudevents")
# What a request and its response look like on the wire; `auto` tells them apart.
PROTOCOLS = (
    *("auto", "kserve-v1", "open-inference", "tensorflow-serving", "torchserve", "mlflow"),
    *("seldon", "bentoml", "openai", "json"),
)
FORMATS = (*ROW_FORMATS, *CAPTURE_FORMATS, *PROTOCOLS)
_STREAMED = tuple(name for name in FORMATS if name not in ("csv", "tsv", "parquet", "arrow"))
_COLUMNS = ("csv", "tsv")  # formats whose columns may have to be named

KEYS: dict[str, tuple[str, ...]] = {
    "file_source": ("type", "path", "format", "columns", "from"),
    "event_source": ("type", "format", "buffer"),
    "kafka_source": ("type", "brokers", "topic", "group", "format", "from", "options"),
    "sql_source": ("type", "url", "table", "cursor", "interval", "from"),
    "proxy_source": ("type", "path", "format", "version_header", "probe_rate"),
}
_HIGHEST_PROBE_RATE = 1000.0  # requests a second
_TYPES = ("file", "proxy", "events", "kafka", "sql")
_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
# What compression and rotation append, and globs for it: `.jsonl.gz`, `.jsonl.1`, `.jsonl*`.
_APPENDED = r"(?:\.gz|\.zst|[-_.\d*?\[\]!])*"
_EXTENSION = re.compile(rf"({'|'.join(map(re.escape, _FORMATS))}){_APPENDED}", re.IGNORECASE)


@dataclass(frozen=True)
class FileSource:
    """Log files: `path` is an absolute path or glob."""

    path: str
    format: str  # one of FORMATS
    start: Start | None = None  # `from:`; None: start with state, end without
    columns: tuple[str, ...] = ()  # of CSV and TSV without a header


@dataclass(frozen=True)
class EventSource:
    """What is posted to the exporter: /api/v1/predictions, /api/v1/labels, /api/v1/events."""

    format: str = "jsonl"  # "jsonl" or "cloudevents"
    buffer: int = 64 << 20  # bytes that may wait to be counted; what comes beyond is refused
    start: Start = "start"


@dataclass(frozen=True)
class KafkaSource:
    """A topic, whose partitions the exporters of one group share."""

    brokers: tuple[str, ...]
    topic: str
    group: str = "ml-exporter"
    format: str = "jsonl"
    start: Start | None = None
    options: tuple[tuple[str, str], ...] = ()  # librdkafka's own


@dataclass(frozen=True)
class SqlSource:
    """A table, read in the order of a column that only grows."""

    url: str
    table: str
    cursor: str
    interval: float = 10.0  # seconds between queries
    start: Start | None = None
    format: str = "jsonl"  # what rows are turned into


@dataclass(frozen=True)
class ProxySource:
    """Requests that pass through the proxy, and their responses."""

    path: str | None = None  # of the URL; `*` is any part of one; None: whatever may be asked
    format: str = "auto"  # one of PROTOCOLS
    version_header: str = "X-Model-Version"  # of a response, or else of a request
    probe_rate: float | None = None  # requests a second, at most, that features are attributed by
    start: Start = "start"  # whatever was observed is counted


SourceSettings = FileSource | EventSource | KafkaSource | SqlSource | ProxySource


def read_source(node: Node, folder: Path) -> SourceSettings:
    """The source that a section describes; relative paths are under `folder`."""
    section = node.mapping()
    source_type = section.require("type")
    match source_type.text():
        case "file":
            return _file_source(section, folder)
        case "events":
            return _event_source(section)
        case "kafka":
            return _kafka_source(section)
        case "sql":
            return _sql_source(section)
        case "proxy":
            return _proxy_source(section)
        case "":
            pass
        case name:
            source_type.error(f"unknown source type {name!r}{suggestion(name, _TYPES)}")
    return FileSource("", "")


def format_of(path: str, default: str = "") -> str:
    """The format that the extension of a path tells, or else the default."""
    name = os.path.basename(path)
    dots = (place for place, letter in enumerate(name) if letter == ".")
    found = (_EXTENSION.fullmatch(name, place) for place in dots)
    return next((_FORMATS[one[1].lower()] for one in found if one), default)


def _file_source(section: Section, folder: Path) -> FileSource:
    section.check_keys(KEYS["file_source"])
    path = section.require("path").text()
    by_extension = format_of(path)
    if path and section.get("format") is None and not by_extension:
        section.require("path").error(
            "its extension tells no format; name it, as in 'format: jsonl'"
        )
    format = section.read("format", lambda node: node.choice(FORMATS), None) or by_extension
    columns = section.read("columns", _names, ())
    if columns and format not in _COLUMNS:
        section.require("columns").error("only csv and tsv without a header need their columns")
    return FileSource(_absolute(path, folder), format, _start(section), columns)


def _event_source(section: Section) -> EventSource:
    section.check_keys(KEYS["event_source"])
    return EventSource(
        format=section.read("format", lambda node: node.choice(("jsonl", "cloudevents")), None)
        or EventSource.format,
        buffer=section.read("buffer", Node.size, EventSource.buffer),
    )


def _kafka_source(section: Section) -> KafkaSource:
    section.check_keys(KEYS["kafka_source"])
    return KafkaSource(
        brokers=_names(section.require("brokers")),
        topic=section.require("topic").text(),
        group=section.read("group", Node.text, KafkaSource.group),
        format=section.read("format", lambda node: node.choice(_STREAMED), None)
        or KafkaSource.format,
        start=_start(section),
        options=section.read("options", _options, ()),
    )


def _sql_source(section: Section) -> SqlSource:
    section.check_keys(KEYS["sql_source"])
    return SqlSource(
        url=section.require("url").text(),
        table=section.require("table").text(),
        cursor=section.require("cursor").text(),
        interval=section.read("interval", Node.duration, SqlSource.interval),
        start=_start(section),
    )


def _proxy_source(section: Section) -> ProxySource:
    section.check_keys(KEYS["proxy_source"])
    path = section.read("path", _url_path, None)
    of_path = completions.FORMAT if path and completions.are_asked_at(path) else ProxySource.format
    return ProxySource(
        path=path,
        format=section.read("format", lambda node: node.choice(PROTOCOLS), None) or of_path,
        version_header=section.read(
            "version_header",
            lambda node: node.parsed(parse_header, node.text(), ""),
            ProxySource.version_header,
        ),
        probe_rate=section.read(
            "probe_rate", lambda node: node.number(0, _HIGHEST_PROBE_RATE), ProxySource.probe_rate
        ),
    )


def _url_path(node: Node) -> str:
    path = node.text()
    if path and (not path.startswith("/") or "?" in path):
        node.error("must be the path of a URL, such as '/v1/models/credit:predict'")
    return path


def _start(section: Section) -> Start | None:
    return section.read("from", lambda node: node.choice(("start", "end")), None)


def _names(node: Node) -> tuple[str, ...]:
    names = tuple(item.text() for item in node.items())
    if node.kind == "a list" and not names:
        node.error("must name at least one")
    if len(set(names)) < len(names):
        node.error("names one twice")
    return names


def _options(node: Node) -> tuple[tuple[str, str], ...]:
    return tuple((key.text(), value.text()) for key, value in node.mapping())


def _absolute(path: str, folder: Path) -> str:
    """The path under the folder, whose own name is no part of a glob."""
    if os.path.isabs(path):
        return path
    return os.path.join(glob.escape(str(folder)) if glob.has_magic(path) else folder, path)

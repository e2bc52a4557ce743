"""Alerts about what exporters read: not fast enough, or twice."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.annotations import ABOUT_SOURCE, ABOUT_VERSIONS, Builder, each
from ml_exporter.rules.groups import Alert
from ml_exporter.rules.promql import join_replicas
from ml_exporter.rules.timing import duration

_BEHIND = 5  # minutes


def alerts(build: Builder, severity: str) -> Iterable[Alert]:
    if severity == "critical":
        return
    lag = join_replicas("max", "ml_source_lag_seconds", "version")
    behind = _BEHIND * build.timing.minute
    yield build.alert(
        "ExporterSourceLagging",
        severity,
        f"{lag} > {behind:g}",
        help=f"An exporter has had rows to read for {duration(behind)} or more, and hasn't come to "
        "the end of its source meanwhile: it doesn't keep up, or has stopped reading.",
        summary="{{ $labels.model }}: an exporter is {{ $value | humanizeDuration }} behind its "
        "source",
        description=f"{ABOUT_VERSIONS}Figures are of rows up to then. Not yet counted, by:"
        + each(
            "ml_source_lag_bytes{%s} > 0",
            "\n- {{ .Labels.instance }}: {{ .Value | humanize1024 }}B",
            by="instance",
        ),
        keep_firing=False,
    )
    yield build.alert(
        "SourceReadTwice",
        severity,
        join_replicas("count", "ml_source_info", "version") + " > 1",
        help="Two exporters read one source, and count each of its rows twice.",
        summary="{{ $labels.model }}: {{ $value }} exporters read one source",
        description=f"{ABOUT_SOURCE}Each row of the source is counted {{{{ $value }}}} times, by:"
        + each("ml_source_info{%s}", "\n- {{ .Labels.instance }}", by="instance")
        + "\nFigures are right as long as all read on; counts are too large.",
        keep_firing=False,
    )

"""An alert about replicas that judge by different baselines."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each
from ml_exporter.rules.groups import Alert
from ml_exporter.rules.promql import join_replicas, without

_KNOWN = 'baseline_id!=""'  # not while one is learned


def alerts(build: Builder, severity: str) -> Iterable[Alert]:
    if severity == "critical":
        return
    baselines = join_replicas("group", f"ml_baseline_info{{{_KNOWN}}}", "state")
    yield build.alert(
        "BaselinesDiffer",
        severity,
        f"{without('count', 'baseline_id', baselines)} > 1",
        help="Replicas judge one version of a model by different baselines: each by fewer rows, "
        "and some perhaps by an outdated one.",
        summary=f"{ABOUT_MODEL}{NAME}: replicas judge by {{{{ $value }}}} baselines",
        description=f"{ABOUT_MODEL}Rows are judged by the baseline that they were counted by, and "
        "so fewer together. Replicas by baseline:"
        + each(
            f"count by (baseline_id, state) (ml_baseline_info{{%s,{_KNOWN}}})".replace('"', "'"),
            "\n- {{ .Labels.baseline_id }} ({{ .Labels.state }}): {{ .Value }}",
            by="baseline_id",
        ),
        keep_firing=False,
    )

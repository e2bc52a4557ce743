"""Requests that passed through the proxy: failures, latency, and those not observed."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import counts
from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each, number
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.promql import without
from ml_exporter.rules.timing import WINDOWS, Timing, duration

QUANTILES = (0.5, 0.99)
ERRORS = {"warning": 0.01, "critical": 0.05}  # of the requests of an hour
SLOWDOWNS = {"warning": 2, "critical": 5}  # of an hour against the week
LEAST_ERRORS = 5
LEAST_REQUESTS = 100
DROPPED = 0.01  # of what there was to observe in an hour

# Reasons that are no wish of the user's: the proxy's, and the in-process client's.
_MISSED = "buffer_full|too_large|error|queue_full|unreadable|unknown_model"

COUNTERS = (
    Counter("ml_requests_total", "ml_requests_total", "Requests, by status and method,"),
    Counter(
        "ml_request_duration_seconds_bucket",
        "ml_request_duration_seconds_bucket",
        "Requests, by how long they took at most,",
    ),
    Counter(
        "ml_upstream_duration_seconds_bucket",
        "ml_upstream_duration_seconds_bucket",
        "Requests, by how long the model took at most,",
    ),
    Counter(
        "ml_exporter_observations_dropped_total",
        "ml_exporter_observations_dropped_total",
        "Exchanges that were not observed, by reason,",
    ),
)


def groups(timing: Timing) -> Iterable[Group]:
    for window in WINDOWS:
        rules = (*counts.of_window(timing, COUNTERS, window), *_figures(window))
        yield Group(f"ml-exporter-requests-{window}", timing.interval(window), rules)


def _figures(window: str) -> Iterable[Rule]:
    all_requests = f"ml_requests_total:{window}"
    failed = f'ml_requests_total:{window}{{code=~"5.."}}'
    yield Rule(
        f"model:requests:{window}",
        f"Requests over {window}.",
        without("sum", "code, method", all_requests),
    )
    yield Rule(
        f"model:error_ratio:{window}",
        f"Share of the requests that were answered with 5xx, over {window}.",
        f"{without('sum', 'code, method', failed)}\n/ (model:requests:{window} > 0)",
    )
    for name, histogram, what in (
        ("latency_seconds", "ml_request_duration_seconds", "requests took"),
        ("upstream_latency_seconds", "ml_upstream_duration_seconds", "the model took to answer"),
    ):
        for quantile in QUANTILES:
            yield Rule(
                f"model:{name}:{window}",
                f"How long {what}, by `quantile`, over {window}.",
                f"histogram_quantile({quantile}, {histogram}_bucket:{window}) >= 0",
                {"quantile": str(quantile)},
            )


def alerts(build: Builder, severity: str) -> Iterable[Alert]:
    failed = without("sum", "code, method", 'ml_requests_total:1h{code=~"5.."}')
    share = ERRORS[severity]
    codes = each(
        "sort_desc(sum by (code) (ml_requests_total:1h{%s,code=~'[45]..'}) > 0)",
        f"\n- {{{{ .Labels.code }}}}: {number('%.0f')}",
    )
    yield build.alert(
        "ModelErrorRateHigh",
        severity,
        f"model:error_ratio:1h > {share}\nand\n{failed} >= {LEAST_ERRORS}",
        help=f"More than {ERRORS['warning']:.0%} (critical: {ERRORS['critical']:.0%}) of the "
        f"requests of the last hour, and at least {LEAST_ERRORS}, were answered with 5xx: by the "
        "model server, or by the proxy where that can't be reached.",
        summary=f"{ABOUT_MODEL}{NAME}: {{{{ $value | humanizePercentage }}}} of requests fail",
        description=f"{ABOUT_MODEL}Of "
        + each("model:requests:1h{%s}", number("%.0f"))
        + f" requests in the last hour, by status:{codes}",
        pending=build.timing.down,
    )
    # A week that ended a day ago: what is slow today must not become usual while it is slow.
    before = f" offset {duration(build.timing.lengths['24h'])}"
    now, usual = (
        without("max", "quantile", f'model:latency_seconds:{window}{{quantile="0.99"}}{offset}')
        for window, offset in (("1h", ""), ("7d", before))
    )
    yield build.alert(
        "ModelLatencyHigh",
        severity,
        f"{now}\n> {SLOWDOWNS[severity]} * {usual}\n"
        f"and model:requests:1h >= {LEAST_REQUESTS}\n"
        f"and model:requests:7d{before} >= {10 * LEAST_REQUESTS}",
        help="The 99th percentile of how long requests took in the last hour is more than "
        f"{SLOWDOWNS['warning']} times (critical: {SLOWDOWNS['critical']} times) that of the seven "
        f"days until yesterday. It rests on {LEAST_REQUESTS} requests or more, and on ten times "
        "as many.",
        summary=f"{ABOUT_MODEL}{NAME}: 1 % of requests take over "
        "{{ $value | humanizeDuration }}",
        description=f"{ABOUT_MODEL}The 99th percentile over the last hour is "
        "{{ $value | humanizeDuration }}, over the seven days until yesterday "
        + each(
            f"model:latency_seconds:7d{{%s,quantile='0.99'}}{before}",
            "{{ .Value | humanizeDuration }}",
        )
        + ".",
    )
    if severity == "critical":
        return
    dropped = without(
        "sum", "reason", f'ml_exporter_observations_dropped_total:1h{{reason=~"{_MISSED}"}}'
    )
    requests, predictions = (
        without("sum", "model, version", f"model:{of}:1h") for of in ("requests", "predictions")
    )
    # Without a proxy, all that there was is what was counted and what was dropped.
    every = f"(\n  {requests}\n  or\n  {dropped} + {predictions}\n  or\n  {dropped}\n)"
    yield build.alert(
        "ExporterDroppingObservations",
        severity,
        f"{dropped}\n> {DROPPED} * {every}",
        help=f"More than {DROPPED:.0%} of the requests of the last hour that were forwarded, or of "
        "the predictions that an application logged, were not observed: a buffer or queue was "
        "full, a body too large or unreadable, or copying went wrong.",
        summary='{{ $labels.job }}: {{ $value | printf "%.0f" }} observations were dropped',
        description='In the last hour {{ $value | printf "%.0f" }} requests or predictions were '
        "answered as always, and not observed. The figures lack them.",
        keep_firing=False,
    )

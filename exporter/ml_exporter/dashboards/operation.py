"""Traffic, labels, requests and the exporter itself on the overview."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ml_exporter.dashboards.panels import (
    GREEN,
    ORANGE,
    RED,
    About,
    Panel,
    Query,
    stat_panel,
    timeseries_panel,
)
from ml_exporter.dashboards.selectors import CHOSEN, FLEET, MODEL

_QUANTILES = (0.5, 0.9, 0.99)


def _per_minute(by: str, counter: str, selector: str = CHOSEN) -> str:
    return f"60 * sum by ({by}) (rate({counter}{{{selector}}}[$__rate_interval]))"


def _quantiles(histogram: str, selector: str) -> list[Query]:
    buckets = f"sum by (le) (rate({histogram}_bucket{{{selector}}}[$__rate_interval]))"
    return [Query(f"histogram_quantile({q}, {buckets})", f"p{q * 100:g}") for q in _QUANTILES]


def traffic() -> Iterable[Panel]:
    yield timeseries_panel(
        About(
            "Predictions per minute by version",
            "Accepted rows of each minute, exactly. A version that appears is a rollout; one that "
            "vanishes is a rollback or an outage.",
        ),
        Query(f"sum by (version) (ml_predictions_total:1m{{{MODEL}}})", "{{version}}"),
        stacked=True,
    )
    yield timeseries_panel(
        About(
            "Labels per minute by result",
            "What became of labels that came apart from their predictions. `unmatched` ones have "
            "an id that no prediction had: look at the id fields of both, or raise `wait`. "
            "`corrected` ones contradict a label that was counted.",
        ),
        Query(_per_minute("result", "ml_labels_total"), "{{result}}"),
        stacked=True,
    )
    yield timeseries_panel(
        About(
            "Label delay",
            "Time from a prediction to its label. Figures of performance are about predictions "
            "that are at least so old.",
            "s",
        ),
        *_quantiles("ml_label_delay_seconds", MODEL),
    )
    yield timeseries_panel(
        About(
            "Predictions that no label will reach",
            "Expired: gave up waiting for a label (`wait`). Duplicate: had an id that was waiting "
            "for its label already. Many duplicates mean that the id isn't unique.",
            width=12,
        ),
        Query(_per_minute("model", "ml_predictions_expired_total"), "expired per minute"),
        Query(_per_minute("model", "ml_duplicate_predictions_total"), "duplicate per minute"),
    )
    unseen = f"sum by (version) (model:unseen_rows:24h{{{MODEL}}})"
    recorded = f"sum by (version) (model:predictions:24h{{{MODEL}}})"
    yield timeseries_panel(
        About(
            "Predictions that are in no figure",
            "Share of the last 24h that the counters saw and the recording rules didn't, after an "
            "outage of over an hour. Above 1 % (the dashed line) figures are incomplete.",
            "percentunit",
            width=12,
            decimals=2,
            steps=((0.01, ORANGE),),
        ),
        Query(f"{unseen}\n/ clamp_min({unseen} + {recorded}, 1)", "{{version}}"),
        limits=True,
    )


def requests() -> Iterable[Panel]:
    yield timeseries_panel(
        About(
            "Requests per minute by status",
            "HTTP requests that passed through the proxy. 5xx is the model server's, or the "
            "proxy's where that can't be reached (502, 504); 499 are clients that went away.",
        ),
        Query(f"sum by (code) (ml_requests_total:1m{{{MODEL}}})", "{{code}}"),
        stacked=True,
    )
    yield timeseries_panel(
        About(
            "How long requests take",
            "As clients saw it, from the first byte of a request to the last one of its answer.",
            "s",
        ),
        *_quantiles("ml_request_duration_seconds", MODEL),
    )
    yield timeseries_panel(
        About(
            "How long the model takes",
            "From the last byte of a request to the last one of its answer. What requests take "
            "beyond it is slow clients, and the proxy.",
            "s",
        ),
        *_quantiles("ml_upstream_duration_seconds", MODEL),
    )


def exporter() -> Iterable[Panel]:
    yield stat_panel(
        About(
            "State saved",
            "How long ago offsets and counters were saved, by the replica that is furthest behind. "
            "It should be seconds: a restart loses what came since. Look at the volume of the "
            "state folder.",
            "s",
            steps=((60, ORANGE), (600, RED)),
            no_value="No state is configured: a restart begins at 0",
            width=6,
            height=4,
        ),
        Query(f"time() - min(ml_exporter_state_last_save_timestamp_seconds{{{FLEET}}})", "saved"),
    )
    yield stat_panel(
        About(
            "Configuration",
            "Whether the last reload succeeded on every replica. If not, they run on with the old "
            "configuration; `ml-exporter check` says what is wrong with the new one.",
            states={0: ("Reload failed", RED), 1: ("Loaded", GREEN)},
            steps=((-math.inf, RED), (1, GREEN)),
            width=6,
            height=4,
        ),
        Query(f"min(ml_exporter_config_last_reload_successful{{{FLEET}}})", "loaded"),
    )
    yield stat_panel(
        About(
            "Series exposed",
            "Series of all replicas. It depends on the number of fields, bins and versions, not "
            "on traffic.",
            width=6,
            height=4,
        ),
        Query(f"sum(ml_exporter_series{{{FLEET}}})", "series"),
        history=True,
    )
    yield stat_panel(
        About(
            "Series left out",
            "Series that `limits.series` leaves out. What they would say is unknown: raise the "
            "limit, or watch fewer fields.",
            steps=((1, ORANGE),),
            width=6,
            height=4,
        ),
        Query(f"sum(ml_exporter_series_suppressed{{{FLEET}}})", "left out"),
    )
    yield timeseries_panel(
        About(
            "Time for a chunk of a log",
            "How long it takes to decode and count one chunk. If it rises together with the lag, "
            "the exporter needs more CPU.",
            "s",
        ),
        *_quantiles("ml_exporter_batch_duration_seconds", FLEET),
    )
    yield timeseries_panel(
        About(
            "Behind the log by model",
            "Bytes of each model's log that are there and not counted yet.",
            "bytes",
        ),
        Query(f"max by (model) (ml_source_lag_bytes{{{FLEET}}})", "{{model}}"),
    )
    yield timeseries_panel(
        About(
            "Predictions waiting for a label",
            "Held in the state until their label comes or `wait` is over. It grows with traffic "
            "and with the delay of labels.",
        ),
        Query(f"sum by (instance) (ml_exporter_pending_predictions{{{FLEET}}})", "{{instance}}"),
    )
    yield timeseries_panel(
        About(
            "Waiting to be counted",
            "Bytes of exchanges between the proxy and telemetry (`captured`), and of posted rows "
            "(`posted`), on the replica that has most. Where they come up to `buffer`, exchanges "
            "are not observed, and posts are answered with 429.",
            "bytes",
            width=12,
        ),
        Query(f"max by (queue) (ml_exporter_queue_length{{{FLEET}}})", "{{queue}}"),
    )
    yield timeseries_panel(
        About(
            "Requests that were not observed",
            "They passed through the proxy and were answered; the figures lack them. The buffer "
            "was full, a body too large, or more came than `rate`.",
            width=12,
        ),
        Query(_per_minute("reason", "ml_exporter_observations_dropped_total", FLEET), "{{reason}}"),
        stacked=True,
    )

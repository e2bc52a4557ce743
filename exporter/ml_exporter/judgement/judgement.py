"""Counts, baseline and thresholds to verdicts: what the alerts say, by the rules' twins.

A drift is one that is significant (`field:significance` above 1) and material (PSI, location
shift or another effect above its threshold). Broken values are a share that is above its
threshold and has grown significantly. The other verdicts are in the modules `*_verdicts`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.components import Loading
from ml_exporter.config.thresholds import EFFECTS, SEVERITIES
from ml_exporter.families import Frozen
from ml_exporter.judgement.attribution_verdicts import judged_attribution
from ml_exporter.judgement.change_verdicts import change_kinds
from ml_exporter.judgement.estimate_verdicts import judged_estimate
from ml_exporter.judgement.integrity_verdicts import above, rows_state, violations
from ml_exporter.judgement.performance_verdicts import against_constant, judged_figures
from ml_exporter.judgement.samples import Samples
from ml_exporter.judgement.segment_verdicts import judged_segments
from ml_exporter.judgement.verdicts import (
    ChampionVerdict,
    FieldVerdict,
    Importance,
    Limits,
    ModelVerdict,
    Share,
    State,
    VersionVerdict,
    rank,
    worst,
)
from ml_exporter.judgement.version_verdicts import against_champion
from ml_exporter.statistics import drift, effects
from ml_exporter.statistics.bins import BELOW, Floats
from ml_exporter.statistics.drift import SHARES, STATISTICS, TESTS, Test

_SIGNIFICANT: Limits = dict.fromkeys(SEVERITIES, 1.0)


def judge(samples: Iterable[Frozen], window: str = "1h") -> list[ModelVerdict]:
    """Judge what was counted: the worst model first.

    `samples` are all of an exporter, counters by what they counted in the window. `window` is the
    one whose critical values apply: `1h`, `24h` or `7d`.
    """
    models: dict[str, dict[str, Samples]] = defaultdict(lambda: defaultdict(Samples))
    for frozen in samples:
        family = frozen.family
        if family.label_names[:2] != ("model", "version"):
            continue
        rows = zip(family.suffixes, family.label_sets, frozen.values.tolist(), strict=False)
        for suffix, (model, version, *labels), value in rows:
            named = dict(zip(family.label_names[2:], labels, strict=False))
            models[model][version].add(family.name + suffix, named, value)
    verdicts = [_model(name, versions, window) for name, versions in models.items()]
    return sorted(verdicts, key=lambda model: (-rank(model.state), model.name))


def _model(name: str, versions: Mapping[str, Samples], window: str) -> ModelVerdict:
    # The series of what belongs to no version have that of rows which don't name theirs.
    known = {version: samples for version, samples in versions.items() if samples["ml_model_info"]}
    compared = against_champion(known)
    verdicts = [
        _version(version, samples, window, compared.get(version))
        for version, samples in known.items()
    ]
    every = list(versions.values())
    rejected = _sum_by(every, "ml_rows_rejected_total", "reason")
    predictions = sum(one.predictions for one in verdicts)
    unusable = sum(rejected.values())
    rejected_state = rows_state(unusable, unusable + predictions)
    duplicates = sum(samples.total("ml_duplicate_predictions_total") for samples in every)
    duplicates_state = rows_state(duplicates, predictions)
    from_future = _sum_by(every, "ml_future_timestamps_total", "log").get("predictions", 0.0)
    from_future_state = rows_state(from_future, predictions)
    of_rows = [rejected_state, duplicates_state, from_future_state]
    relevant = [one for one in verdicts if one.predictions or one.state in SEVERITIES]
    return ModelVerdict(
        name=name,
        state=worst([*of_rows, *(one.state for one in relevant or verdicts)]),
        versions=tuple(sorted(verdicts, key=lambda one: (one not in relevant, -rank(one.state)))),
        rejected={reason: rows for reason, rows in rejected.items() if rows},
        rejected_state=rejected_state,
        duplicates=duplicates,
        duplicates_state=duplicates_state,
        from_future=from_future,
        from_future_state=from_future_state,
        labels=_sum_by(every, "ml_labels_total", "result"),
        lag_bytes=sum(samples.total("ml_source_lag_bytes") for samples in every),
        lag_seconds=max(samples.total("ml_source_lag_seconds") for samples in every),
    )


def _sum_by(versions: Iterable[Samples], name: str, label: str) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for samples in versions:
        for key, value in samples.by(name, label).items():
            sums[key] += value
    return dict(sums)


def _version(
    version: str, samples: Samples, window: str, compared: ChampionVerdict | None
) -> VersionVerdict:
    task, positive = samples.labels("ml_model_info", "task", "positive")
    baseline_id, baseline_state = samples.labels("ml_baseline_info", "baseline_id", "state")
    predictions = samples.total("ml_predictions_total")
    labelled = samples.total("ml_labelled_predictions_total")
    figures = tuple(judged_figures(samples, positive or None, labelled))
    truth = {one.metric: one.value for one in figures}
    estimate = judged_estimate(samples, positive or None, labelled, truth)
    attribution = judged_attribution(samples)
    segments = judged_segments(samples, task)
    violated = violations(samples)
    every = sorted(_fields(samples, window), key=_attention)
    fields, components = (
        tuple(one for one in every if (one.role == "component") is wanted)
        for wanted in (False, True)
    )
    quiet: State = "learning" if baseline_state == "learning" else "ok"
    states: list[State | None] = [one.state for one in figures]
    states += [one.state for one in segments]
    states += [one.state for one in violated]
    # Alerts are not about the label: that the truth has moved is no fault by itself.
    states += [one.state for one in fields if one.role != "label"]
    states += [one.state for one in components]
    if estimate is not None:
        states += [estimate.concept, *(one.state for one in estimate.figures)]
    constant = against_constant(samples, labelled, figures)
    states += [one.state for one in (attribution, compared, constant) if one is not None]
    judged: list[State] = [one for one in states if one in SEVERITIES]
    drifted = sum(one.drift in SEVERITIES for one in fields if one.role == "feature")
    last = samples.total("ml_last_prediction_timestamp_seconds")
    return VersionVerdict(
        version=version,
        state=worst([*judged, quiet if predictions else "no data"]),
        task=task,
        positive=positive,
        baseline_id=baseline_id,
        baseline_state=baseline_state,
        predictions=predictions,
        last_prediction=last or None,
        labelled=labelled,
        usual_label_delay=_median(samples.by("ml_label_delay_seconds_bucket", "le")),
        figures=figures,
        fields=fields,
        components=components,
        segments=tuple(segments),
        violations=tuple(violated),
        estimate=estimate,
        attribution=attribution,
        against_champion=compared,
        against_constant=constant,
        change_kinds=change_kinds(samples, labelled, drifted),
    )


def _attention(field: FieldVerdict) -> tuple[float, ...]:
    shares = sum(share.ratio for share in field.shares if share.state in SEVERITIES)
    psi = field.psi if math.isfinite(field.psi) else -1.0
    return -rank(field.state) if field.state in SEVERITIES else 0, -shares, -psi


def _median(cumulative: Mapping[str, float]) -> float:
    """The least upper bound that half of the observations don't exceed."""
    count = max(cumulative.values(), default=0.0)
    bounds = [float(le) for le, observed in cumulative.items() if observed >= count / 2]
    return min(bounds) if count else math.nan


def _fields(samples: Samples, window: str) -> Iterable[FieldVerdict]:
    counts: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    ratios: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    ranks: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    distances: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    critical: dict[tuple[str, str], dict[Test, float]] = defaultdict(dict)
    for name, by_field in (
        ("ml_field_values_total", counts),
        ("ml_field_baseline_ratio", ratios),
        ("ml_field_baseline_rank", ranks),
        ("ml_field_baseline_distance", distances),
    ):
        for labels, value in samples[name]:
            by_field[labels["role"], labels["field"]][labels["bin"]] = value
    for labels, value in samples["ml_field_critical_value"]:
        if labels["window"] == window:
            critical[labels["role"], labels["field"]][labels["test"]] = value  # type: ignore[index]
    importances = _importances(samples)
    variances = samples.by("ml_component_variance", "component")
    loadings: dict[str, list[Loading]] = defaultdict(list)
    for labels, value in samples["ml_component_loading"]:
        one = Loading(labels["field"], labels["bin"] or None, value)
        loadings[labels["component"]].append(one)
    for labels, rows in samples["ml_field_baseline_rows"]:
        key = labels["role"], labels["field"]
        thresholds = {
            monitor: samples.thresholds(monitor, *key)
            for monitor in (*EFFECTS, *(f"{share}_ratio" for share in SHARES))
        }
        bins = _Bins(counts[key], ratios[key], ranks[key], distances[key])
        if key[0] != "component":
            field = _field(key, bins, rows, critical[key], thresholds)
            yield replace(field, importance=importances.get(key))
            continue
        least = samples.thresholds("multivariate_drift")
        yield replace(
            _field(key, bins, rows, critical[key], thresholds, least),
            loadings=tuple(sorted(loadings[key[1]], key=lambda one: -abs(one.value))),
            variance=variances.get(key[1], math.nan),
        )


def _importances(samples: Samples) -> dict[tuple[str, str], Importance]:
    shown = samples["ml_field_baseline_importance"]
    ordered = sorted(shown, key=lambda one: -one[1])
    return {
        ("feature", of["field"]): Importance(of["of"], share, place, len(ordered))
        for place, (of, share) in enumerate(ordered, start=1)
    }


class _Bins(NamedTuple):
    """Values by bin; the ranked ones come in their order."""

    counts: Mapping[str, float]
    ratios: Mapping[str, float]
    ranks: Mapping[str, float]
    distances: Mapping[str, float]


def _field(
    key: tuple[str, str],
    by_bin: _Bins,
    rows: float,
    critical: Mapping[Test, float],
    thresholds: Mapping[str, Limits],
    least: Limits = _SIGNIFICANT,
) -> FieldVerdict:
    """`least` is what the significance of a drift must exceed."""
    bins, rank = tuple(by_bin.counts), by_bin.ranks
    w = np.array([by_bin.counts[bin] for bin in bins])
    r = np.array([by_bin.ratios.get(bin, 0.0) for bin in bins]) * rows
    ranked = np.array([bin in rank for bin in bins], dtype=bool)
    of_ranked = w[ranked], r[ranked], np.array([rank[bin] for bin in bins if bin in rank])
    type: Literal["number", "category"] = "number" if BELOW in bins else "category"
    tested_as = "component" if key[0] == "component" else type
    psi, location_shift = drift.psi(w, r), drift.location_shift(*of_ranked)

    shares: dict[Test, Share] = {}
    statistics: dict[Test, float] = {"distribution": drift.g_statistic(w, r)}
    if type == "number":
        statistics["location"] = drift.location_z(*of_ranked)
        statistics["scale"] = drift.scale_z(*of_ranked)
    else:
        statistics["category"] = drift.category_z(w, r)
    for kind, of_kind in SHARES.items():
        if kind not in TESTS[tested_as] or not w.sum() or not r.sum():
            continue
        of_share = np.isin(bins, of_kind)
        counted, usual = w[of_share].sum(), r[of_share].sum()
        z = drift.share_z(counted, w.sum(), usual, r.sum())
        limits = thresholds[f"{kind}_ratio"]
        grown = z > critical.get(kind, math.inf)
        ratio, usual_ratio = counted / w.sum(), usual / r.sum()
        state = above(ratio, limits) if grown else "ok"
        shares[kind] = Share(kind, float(ratio), float(usual_ratio), limits, state)
        statistics[kind] = z

    significance = drift.significance(statistics, critical)
    sizes = {"psi": psi, "location_shift": abs(location_shift)}
    # The others are judged only where the configuration says so.
    if any(thresholds[name] for name in EFFECTS if name not in sizes):
        sizes |= _other_effects(w, r, ranked, list(by_bin.distances.values()))
    drifted = worst(
        severity
        for name, value in sizes.items()
        for severity, limit in thresholds[name].items()
        if value > limit and significance > least.get(severity, math.inf)
    )
    return FieldVerdict(
        role=key[0],
        name=key[1],
        type=type,
        state=worst([drifted, *(one.state for one in shares.values())]) if w.sum() else "no data",
        drift=drifted,
        rows=float(w.sum()),
        baseline_rows=rows,
        bins=bins,
        counts=w,
        baseline_counts=r,
        psi=psi,
        location_shift=location_shift,
        effects=sizes,
        thresholds={name: thresholds[name] for name in sizes},
        statistics={test: statistics[test] for test in STATISTICS if test in statistics},
        critical_values=critical,
        significance=significance,
        shares=tuple(shares.values()),
    )


def _other_effects(
    w: Floats, r: Floats, ranked: NDArray[np.bool_], distances: list[float]
) -> dict[str, float]:
    of_ranked = w[ranked], r[ranked]
    l_infinity = effects.l_infinity(w, r)
    # Of a number without distances the rules have no cumulative shares, either.
    ks = effects.ks(*of_ranked) if distances else math.nan
    return {
        "js_distance": effects.js_distance(w, r),
        "total_variation": effects.total_variation(w, r),
        "l_infinity": l_infinity,
        "l_infinity_robust": effects.robust(l_infinity, w.sum(), r.sum()),
        "ks": ks,
        "ks_robust": effects.robust(ks, *(side.sum() for side in of_ranked)),
        "wasserstein": effects.wasserstein(*of_ranked, distances) if distances else math.nan,
    }

"""What kind of change it is: inputs, what follows from them, or the mix of classes."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.charts import Statement, words_panel
from ml_exporter.dashboards.panels import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    About,
    Panel,
    Query,
    timeseries_panel,
)
from ml_exporter.dashboards.selectors import MODEL, of_preferred_estimator, union

NO_SCORES = "Needs labels, and a baseline with labels and scores"
NO_LABELS = "Needs labels of a classification"

_SIGNIFICANT = ((1, RED),)


def concept_drift() -> Iterable[Panel]:
    yield _kind()
    tests = union(
        {
            "outcomes given the score (calibration)": f"model:calibration_drift:24h{{{MODEL}}}",
            "scores given the outcome": f"model:class_conditional_drift:24h{{{MODEL}}}",
            "mix of classes": f"model:class_mix_drift:24h{{{MODEL}}}",
        },
        "test",
    )
    yield timeseries_panel(
        About(
            "Scores and outcomes, looked at both ways",
            "Each test over 24h of labels, in what chance explains: above 1 (dashed) it is more. "
            "Inputs alone that move leave the calibration below 1; a mix of classes alone leaves "
            "scores given the outcome below 1; a changed relation leaves neither.",
            "none",
            width=16,
            height=9,
            decimals=2,
            steps=_SIGNIFICANT,
            no_value=NO_SCORES,
        ),
        Query(f"max by (version, test) (\n{tests}\n)", "{{test}} {{version}}"),
        limits=True,
    )
    yield timeseries_panel(
        About(
            "Error rate by span",
            "Share of wrong labels over each span, by arrival of the label. Short spans say what "
            "is so now and are noisy; where long ones follow, it is to stay. Dashed is the "
            "baseline's.",
            "percentunit",
            width=8,
            height=8,
            decimals=1,
            no_value=NO_LABELS,
        ),
        Query(f"max by (version, span) (model:error_rate{{{MODEL}}})", "{{span}} {{version}}"),
        Query(f"max by (version) (model:baseline_error_rate{{{MODEL}}})", "baseline {{version}}"),
        references=True,
    )
    drift = f"model:error_drift{{{MODEL}}}"
    yield timeseries_panel(
        About(
            "Growth of the error rate",
            "The greatest significance of all spans, against the week before and the baseline. "
            "ErrorRateRising fires where it is above 1 (dashed) and above what it was on each of "
            "the seven days before (usual): a rhythm of days or weeks is no news.",
            "none",
            width=8,
            height=8,
            decimals=2,
            steps=_SIGNIFICANT,
            no_value=NO_LABELS,
        ),
        Query(f"max by (version) ({drift})", "now {{version}}"),
        Query(f"max by (version) (model:usual_error_drift{{{MODEL}}})", "usual {{version}}"),
        limits=True,
    )
    yield timeseries_panel(
        About(
            "Estimated less realised performance",
            "What the better estimator expected of the rows whose label came, less what came true "
            "of them. Away from 0 it is not the inputs: the relation or the mix of classes has "
            "changed. Above 0 the estimate promises too much.",
            "none",
            width=8,
            height=8,
            decimals=3,
            no_value=NO_SCORES,
        ),
        Query(
            of_preferred_estimator(f"model:estimation_error:${{window}}{{{MODEL}}}"),
            "{{monitor}} {{version}}",
        ),
        low=None,
    )


def _kind() -> Panel:
    def of(kind: str) -> str:
        return f'max by (version) (model:drift_kind:24h{{{MODEL},kind="{kind}"}})'

    known = f"group by (version) (model:calibration_drift:24h{{{MODEL}}})"
    predicted = f"group by (version) (model:predictions:24h{{{MODEL}}} > 0)"
    any_kind = f"model:drift_kind:24h{{{MODEL}}}"
    return words_panel(
        About(
            "What kind of change is it?",
            "Over 24h. Inputs that moved ask for a look at the feed, and for new training rows if "
            "the model is worse. A changed relation asks for retraining on recent labels. A moved "
            "mix of classes asks for corrected scores and thresholds; the ranking is as good as "
            "ever.",
            width=8,
            height=9,
        ),
        Statement(of("relation"), "What follows from the inputs has changed", RED),
        Statement(of("classes"), "Only the mix of classes has moved", ORANGE),
        Statement(of("inputs"), "The inputs have moved", ORANGE),
        Statement(f"{known}\nunless on (version) {any_kind}", "Nothing has changed", GREEN),
        Statement(
            f"{predicted}\nunless on (version) {known}\nunless on (version) {any_kind}",
            "The inputs are as they were; without labels no more is known",
            GREY,
        ),
    )

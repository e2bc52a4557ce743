import numpy as np
import pytest

from ml_exporter.baseline.components import Loading
from ml_exporter.judgement.field_explanation import explain_component
from ml_exporter.judgement.verdicts import FieldVerdict


def component(loadings, variance=0.1, scale=9.0, location_shift=0.2):
    """A component that has drifted."""
    bins = np.array([10.0, 20.0, 10.0, 0.0])
    return FieldVerdict(
        role="component",
        name="pc1",
        type="number",
        state="critical",
        drift="critical",
        rows=40,
        baseline_rows=40,
        bins=("<below>", "1.0", "2.0", "<above>"),
        counts=bins,
        baseline_counts=bins[::-1],
        psi=0.3,
        location_shift=location_shift,
        effects={"psi": 0.3},
        thresholds={"psi": {"critical": 0.2}},
        statistics={"scale": scale},
        critical_values={"scale": 4.0},
        significance=2,
        shares=(),
        loadings=tuple(loadings),
        variance=variance,
    )


A, B, MINUS_B = Loading("a", None, 0.7), Loading("b", None, 0.6), Loading("b", "x", -0.6)


@pytest.mark.parametrize(
    ("drifted", "text"),
    [
        (component([A, MINUS_B]), "`a` and `b: x` go together less than they did"),
        (component([A, MINUS_B], scale=-9), "`a` and `b: x` go together more than they did"),
        (component([A, B]), "`a` and `b` go against each other less than they did"),
        (component([A, B], variance=2), "`a` and `b` go together more than they did"),
        (component([A, B], variance=2, scale=-9), "`a` and `b` go together less than they did"),
        (component([A, B], variance=2, scale=1), "`a` and `b` have moved together"),
        (
            component([A, MINUS_B], variance=2, scale=1),
            "`a` and `b: x` have moved against each other",
        ),
        (component([A]), "`a` goes otherwise with the other features than it did"),
        (
            component([A, Loading("b", None, 0.1)]),
            "`a` goes otherwise with the other features than it did",
        ),
        (component([]), "Rows as a whole are less usual than in the baseline"),
        (component([], location_shift=-0.2), "Rows as a whole are more usual than in the baseline"),
    ],
)
def test_a_component_is_explained_by_what_counts_most_in_it(drifted, text):
    assert explain_component(drifted).startswith(f"{text}: ")

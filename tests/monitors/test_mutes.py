"""What is muted, as series, and as the status page takes it."""

import math

import pytest

from ml_exporter.config.mutes import Mute
from ml_exporter.judgement.samples import Samples
from ml_exporter.monitors.mutes import Mutes

TOMORROW, YESTERDAY = 1e11, 1e9  # of a far future, and of the past


def series(*mutes):
    family, _ = Mutes("m", "1", mutes).families
    return {
        labels[2:]: value
        for labels, value in zip(family.label_sets, family.values.tolist(), strict=True)
    }


def test_each_pair_is_a_series():
    assert series(Mute(("age", "zip"), ("psi", "ks"), 5.0)) == {
        ("psi", "age"): 5,
        ("psi", "zip"): 5,
        ("ks", "age"): 5,
        ("ks", "zip"): 5,
    }
    assert series(Mute(fields=("age",))) == {("", "age"): math.inf}
    assert series(Mute(monitors=("f1",))) == {("f1", ""): math.inf}


def test_of_two_mutes_the_longer_holds():
    mutes = [Mute(("age",), None, until) for until in (5.0, 9.0, 7.0)]
    assert series(*mutes) == {("", "age"): 9}


@pytest.mark.parametrize(
    ("mute", "left"),
    [
        (Mute(fields=("age",)), {"plan"}),
        (Mute(monitors=("psi",)), set()),
        (Mute(("age",), ("psi",), TOMORROW), {"plan"}),
        (Mute(("age",), ("psi",), YESTERDAY), {"age", "plan"}),
        (Mute(("age",), ("ks",)), {"age", "plan"}),
    ],
)
def test_the_page_knows_no_threshold_of_what_is_muted(mute, left):
    samples = Samples()
    samples.add("ml_threshold", {"monitor": "psi", "severity": "warning"}, 0.1)
    for (monitor, field), until in series(mute).items():
        labels = {"monitor": monitor, "field": field}
        samples.add("ml_muted_until_timestamp_seconds", labels, until)
    fields = ("age", "plan")
    assert {field for field in fields if samples.thresholds("psi", "feature", field)} == left

"""What Model Monitor would report: its check types, at the thresholds of a constraints.json."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

import pytest

from ml_exporter.baseline.baseline import BaselineError
from ml_exporter.baseline.sagemaker import Monitoring, decode_monitoring
from ml_exporter.judgement.judgement import judge
from ml_exporter.judgement.sagemaker_violations import constraint_violations, encode_violations
from ml_exporter.judgement.verdicts import VersionVerdict
from tests.watching import CONFIG, Row, Watch, sample

TEXT = CONFIG.replace("features: [", "features: [clinic, ")
CLINICS = ("north", "south", "east")


def rows(count: int = 1200, seed: int = 1) -> list[Row]:
    return [row | {"clinic": CLINICS[n % 3]} for n, row in enumerate(sample(count, seed))]


@pytest.fixture
def judged(tmp_path: Path) -> Iterator[Callable[[list[Row]], VersionVerdict]]:
    """`judged(rows)`: the verdict on them, against a baseline of others."""
    with ExitStack() as watches:

        def judged(of: list[Row]) -> VersionVerdict:
            watch = watches.enter_context(closing(Watch(tmp_path, TEXT, training=rows(3000, 2))))
            watch.append(of)
            window = watch.history.window(3600)
            assert window is not None
            (model,) = judge(window.samples)
            return model.versions[0]

        yield judged


USUAL = Monitoring()


def found(version: VersionVerdict, monitoring: Monitoring = USUAL) -> set[tuple[str, str]]:
    return {
        (one.feature_name, one.constraint_check_type)
        for one in constraint_violations(version, monitoring)
    }


def test_rows_like_the_baseline_violate_nothing(judged):
    assert encode_violations(constraint_violations(judged(rows()))) == b'{\n  "violations": []\n}\n'


Change = Callable[[Row, int], Row]


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        (lambda row, n: {"mean radius": "large"} if n == 7 else {}, "data_type_check"),
        (lambda row, n: {"mean radius": None} if n == 7 else {}, "completeness_check"),
        (lambda row, n: {"mean radius": row["mean radius"] * 1.3}, "baseline_drift_check"),
    ],
)
def test_of_a_number(judged, change: Change, violation):
    version = judged([row | change(row, n) for n, row in enumerate(rows())])
    assert found(version) == {("mean radius", violation)}


def test_of_a_category(judged):
    of = rows()
    of[0]["clinic"] = "west"
    assert found(judged(of)) == {("clinic", "categorical_values_check")}


def more_of_the_south() -> list[Row]:
    return [row | ({"clinic": "south"} if n % 3 == 0 else {}) for n, row in enumerate(rows())]


def test_of_the_shares_of_categories(judged):
    assert found(judged(more_of_the_south())) == {("clinic", "baseline_drift_check")}


def test_columns_that_are_gone_and_new(judged):
    of = rows()
    for row in of:
        row["texture"] = row.pop("mean texture")
    of[0]["debug"] = 1
    version = judged(of)
    assert found(version) == {
        ("mean texture", "missing_column_check"),
        ("texture", "extra_column_check"),
        ("debug", "extra_column_check"),
    }
    document = json.loads(encode_violations(constraint_violations(version)))
    assert document.keys() == {"violations"}
    assert {frozenset(one) for one in document["violations"]} == {
        frozenset(("feature_name", "constraint_check_type", "description"))
    }
    assert document["violations"][0]["description"] == "In the baseline, and in none of 1,200 rows."


def test_no_rows_violate_nothing(judged):
    assert found(judged([])) == set()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, {"data_type_check", "baseline_drift_check"}),
        ({"datatype_check_threshold": 0.95}, {"baseline_drift_check"}),
        (
            {"distribution_constraints": {"comparison_threshold": 0.9}},
            {"data_type_check"},
        ),
        (
            {"distribution_constraints": {"perform_comparison": "Disabled"}},
            {"data_type_check"},
        ),
        ({"evaluate_constraints": "Disabled"}, set()),
    ],
)
def test_thresholds_of_a_file(judged, config, expected):
    of = [row | {"mean radius": row["mean radius"] * 1.3} for row in rows()]
    of[3]["mean radius"] = "large"
    file = json.dumps({"version": 0.0, "features": [], "monitoring_config": config}).encode()
    checks = {check for _, check in found(judged(of), decode_monitoring(file))}
    assert checks == expected


def test_categories_may_have_a_threshold_of_their_own(judged):
    config = {"categorical_comparison_threshold": 0.9, "comparison_method": "Simple"}
    file = json.dumps({"monitoring_config": {"distribution_constraints": config}}).encode()
    assert found(judged(more_of_the_south()), decode_monitoring(file)) == set()


def test_what_a_constraints_json_begins_with_is_the_default():
    assert decode_monitoring(b'{"features": []}') == Monitoring()
    written = asdict(Monitoring())
    assert written["datatype_check_threshold"] == 1.0
    with pytest.raises(BaselineError, match="datatype_check_threshold"):
        decode_monitoring(b'{"monitoring_config": {"datatype_check_threshold": "all"}}')

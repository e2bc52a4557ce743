"""What a verdict would set off, on a real model whose log goes wrong in one way at a time."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sklearn import metrics

from ml_exporter.judgement import alarms as alarms_module
from ml_exporter.judgement.advice import advise
from ml_exporter.judgement.alarms import Alarm, alarms
from ml_exporter.judgement.explanation import summarize
from ml_exporter.judgement.judgement import judge
from ml_exporter.judgement.verdicts import ModelVerdict
from ml_exporter.judgement.wording import ordinal
from ml_exporter.rules import rule_files
from ml_exporter.rules.groups import Alert
from ml_exporter.statistics import segments as twins
from tests.watching import CONFIG, Row, Watch, sample, tumours

SEGMENTS = CONFIG.replace("mean symmetry]", "mean symmetry, site]") + "    segments: [site]\n"
OTHER = {"benign": "malignant", "malignant": "benign"}

Start = Callable[..., Watch]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as watches:
        yield lambda *args, **kwargs: watches.enter_context(
            closing(Watch(tmp_path, *args, **kwargs))
        )


def judged(watch: Watch) -> list[ModelVerdict]:
    window = watch.history.window(3600)
    assert window is not None
    return judge(window.samples)


def alarmed(watch: Watch) -> dict[str, Alarm]:
    return {alarm.alert: alarm for alarm in alarms(judged(watch))}


def at_sites(rows: list[Row]) -> list[Row]:
    """Every third row is of site b."""
    return [row | {"site": "aab"[index % 3]} for index, row in enumerate(rows)]


def wrong(rows: list[Row], which: Callable[[int, Row], bool]) -> list[Row]:
    """Predictions that are other ones."""
    return [
        row | {"predicted": OTHER[row["predicted"]]} if which(index, row) else row
        for index, row in enumerate(rows)
    ]


def test_traffic_like_the_baseline_sets_off_nothing(start: Start) -> None:
    watch = start()
    watch.append(sample(2000))
    assert alarmed(watch) == {}


def test_moved_features_and_predictions_are_two_alerts(start: Start) -> None:
    watch = start()
    watch.append([row | {"mean radius": row["mean radius"] * 1.3} for row in sample(1200)])
    found = alarmed(watch)
    assert "PredictionDrift" not in found
    alarm = found["FeatureDrift"]
    assert (alarm.severity, alarm.version) == ("critical", "3")
    assert alarm.summary == "1 of 4 fields drifted: `mean radius`"
    assert alarm.findings[0].startswith("`mean radius`: moved up: ")
    watch.append([row | {"predicted": "benign", "actual": None} for row in sample(3000)])
    assert alarmed(watch)["PredictionDrift"].summary == "1 of 2 fields drifted: `prediction`"


def test_broken_values_and_violated_constraints_are_of_integrity(start: Start) -> None:
    watch = start(CONFIG + "    constraints: {mean radius: {max: 20}}\n")
    watch.append(
        [row | {"mean texture": None} if i % 4 else row for i, row in enumerate(sample(800))]
    )
    alarm = alarmed(watch)["DataIntegrityViolations"]
    assert alarm.severity == "critical"
    assert alarm.findings[0] == "`mean texture`: 75 % missing, 0 % in the baseline"
    radius = [row["mean radius"] > 20 for row in sample(800)]
    share = 100 * sum(radius) / 800
    assert alarm.findings[1] == f"`mean radius` violates max in {share:.1f} % of the rows"


def test_rejected_rows_are_of_no_version(start: Start) -> None:
    watch = start()
    watch.append(sample(60))
    with watch.log.open("a") as log:
        log.write("{broken\n" * 40)
    watch.count()
    alarm = alarmed(watch)["DataIntegrityViolations"]
    assert (alarm.severity, alarm.version) == ("critical", None)
    assert alarm.findings == ("40 rows rejected: 40 malformed",)


def test_a_segment_that_fails_carries_the_drop(start: Start) -> None:
    rows = at_sites(sample(3000))
    watch = start(SEGMENTS, training=at_sites(list(tumours())))
    failing = wrong(rows, lambda index, row: row["site"] == "b" and index % 2 == 0)
    watch.append(failing)
    found = alarmed(watch)
    assert found["ModelPerformanceDegraded"].severity == "critical"
    text = found["SegmentUnderperforming"].findings[0]
    (model,) = judged(watch)
    (version,) = model.versions
    by_site = {one.name: one for one in version.segments if one.field == "site"}
    of_b = [row for row in failing if row["site"] == "b"]
    accuracy = metrics.accuracy_score(
        [row["actual"] for row in of_b], [row["predicted"] for row in of_b]
    )
    b = by_site["b"]
    assert b.value == pytest.approx(accuracy)
    assert b.share == pytest.approx(1 / 3)
    assert b.baseline_share == pytest.approx(1 / 3, abs=0.01)
    usual = [row for row in at_sites(list(tumours())) if row["site"] == "b"]
    right = sum(row["actual"] == row["predicted"] for row in usual)
    assert b.reference == pytest.approx(right / len(usual))
    of_twin = (accuracy * len(of_b), len(of_b), b.reference, len(usual))
    assert b.z == pytest.approx(twins.accuracy_drop_z(*of_twin))
    assert ": accuracy 0." in text
    assert b.drop_share > 0.9 > by_site["a"].drop_share
    assert any("`site b`" in text for text in advise(model, version))


def test_what_is_expected_is_judged_without_labels(start: Start) -> None:
    unlabelled = [row | {"actual": None, "probability": 0.5} for row in sample(600)]
    watch = start()
    watch.append(unlabelled)
    found = alarmed(watch)
    assert "ModelEstimatedPerformanceDegraded" in found
    assert found["ModelEstimatedPerformanceDegraded"].summary.startswith("accuracy 0.")
    (model,) = judged(watch)
    estimate = model.versions[0].estimate
    assert estimate is not None
    assert estimate.rows == 600
    assert estimate.concept is None


def test_an_estimate_equals_what_came_true_where_nothing_changed(start: Start) -> None:
    watch = start()
    watch.append(sample(3000))
    (model,) = judged(watch)
    estimate = model.versions[0].estimate
    assert estimate is not None
    assert estimate.concept == "ok"
    assert estimate.calibration_drift < 1
    assert abs(estimate.errors["accuracy"]) < 0.02
    truth = {one.metric: one.value for one in model.versions[0].figures}
    expected = {one.metric: one.value for one in estimate.figures}
    assert expected["accuracy"] - truth["accuracy"] == pytest.approx(estimate.errors["accuracy"])


def test_labels_that_no_longer_follow_from_scores_are_concept_drift(start: Start) -> None:
    watch = start()
    rows = sample(1500)
    watch.append(
        [
            row | {"actual": OTHER[row["actual"]]} if i % 4 == 0 else row
            for i, row in enumerate(rows)
        ]
    )
    found = alarmed(watch)
    assert found["ConceptDrift"].severity == "warning"
    assert "accuracy +0." in found["ConceptDrift"].summary
    assert "FeatureDrift" not in found
    assert "ModelEstimatedPerformanceDegraded" not in found


def test_another_order_of_attributions(start: Start) -> None:
    text = CONFIG.replace("      score:", "      attributions: shap\n      score:")
    usual, other = (
        {"mean radius": 3.0, "mean texture": 0.1},
        {"mean radius": 0.1, "mean texture": 3},
    )
    watch = start(text, training=[row | {"shap": usual} for row in sample(300)])
    watch.append([row | {"shap": usual} for row in sample(200)])
    assert alarmed(watch) == {}
    watch.append([row | {"shap": other} for row in sample(2000)])
    (alarm,) = alarmed(watch).values()
    assert alarm.alert == "AttributionDrift"
    assert alarm.summary.startswith(
        "predictions rest on `mean texture`, `mean radius`, `mean smoothness` most, "
        "in the baseline on `mean radius`, "
    )


def test_answers_that_mean_the_opposite_are_worth_nothing(start: Start) -> None:
    watch = start()
    # Scores are as they were, but the log has lost them.
    rows = [{k: v for k, v in row.items() if k != "probability"} for row in sample(2000)]
    watch.append(wrong(rows, lambda *_: True))
    alarm = alarmed(watch)["ModelWorthless"]
    assert alarm.severity == "warning"
    assert "by always saying the commonest class" in alarm.summary
    ((version,),) = (model.versions for model in judged(watch))
    assert "by always saying the commonest class" in summarize(version)


def test_wrong_answers_of_scores_that_know_better_are_not(start: Start) -> None:
    watch = start()
    watch.append(wrong(sample(2000), lambda *_: True))
    alarm = alarmed(watch)
    assert "ModelPerformanceDegraded" in alarm
    assert "ModelWorthless" not in alarm


def test_a_version_that_is_worse_than_the_champion(start: Start) -> None:
    text = CONFIG.replace('version: "3"', "version: {field: v}").replace(
        "baseline: baseline.json", 'baseline: {"1": baseline.json, "2": baseline.json}'
    )
    watch = start(text.replace('{"1": baseline.json, "2": baseline.json}', "baseline.json"))
    watch.config.path.write_text(
        text.replace("accuracy: {warning: 0.9, critical: 0.8}", "f1: false")
    )
    watch.load()
    watch.append([row | {"v": 1} for row in sample(2000)])
    watch.append(
        wrong([row | {"v": 2} for row in sample(1000)], lambda index, row: index % 12 == 0)
    )
    (model,) = judged(watch)
    by_name = {version.version: version for version in model.versions}
    assert by_name["1"].against_champion is None
    verdict = by_name["2"].against_champion
    assert verdict is not None
    assert verdict.champion == "1"
    assert verdict.state == "critical"
    alarm = alarmed(watch)["VersionRegression"]
    assert alarm.version == "2"
    assert alarm.summary.endswith("worse than version `1`")


def test_what_is_worst_comes_first_and_the_summary_says_why(start: Start) -> None:
    watch = start(CONFIG + "    constraints: {mean radius: {max: 30}}\n")
    watch.append(
        [row | {"mean radius": 31} if i % 40 == 0 else row for i, row in enumerate(sample(800))]
    )
    (model,) = judged(watch)
    assert [alarm.severity for alarm in alarms([model])] == ["warning"]
    assert summarize(model.versions[0]) == "`mean radius` violates max in 2.5 % of the rows."


def test_every_alarm_is_an_alert() -> None:
    named = set(re.findall(r'"([A-Z][A-Za-z]+)"', Path(alarms_module.__file__).read_text()))
    rules = [r for groups in rule_files().values() for group in groups for r in group.rules]
    assert {"FeatureDrift", "ConceptDrift"} < named
    assert named <= {rule.alert for rule in rules if isinstance(rule, Alert)}


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st")],
)
def test_places(number: int, text: str) -> None:
    assert ordinal(number) == text

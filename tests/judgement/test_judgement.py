from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import spatial
from sklearn import metrics

from ml_exporter.judgement.advice import advise
from ml_exporter.judgement.explanation import summarize
from ml_exporter.judgement.field_explanation import explain_component, explain_field
from ml_exporter.judgement.hindsight import Hindsight
from ml_exporter.judgement.judgement import judge
from ml_exporter.judgement.verdicts import FieldVerdict, Importance, ModelVerdict, Violation, worst
from ml_exporter.statistics import drift
from tests.watching import CONFIG, FEATURES, START, Row, Watch, sample, tumours, write

Change = Callable[[Row, int], Row]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Watch]]:
    """`start(text)` watches a model until the test ends."""
    with ExitStack() as watches:
        yield lambda *args, **kwargs: watches.enter_context(
            closing(Watch(tmp_path, *args, **kwargs))
        )


def judged(watch: Watch, seconds: float = 3600) -> ModelVerdict:
    (model,) = judge(watch.history.window(seconds).samples)
    return model


def changed(rows: list[Row], change: Change) -> list[Row]:
    return [row | change(row, index) for index, row in enumerate(rows)]


def field(model: ModelVerdict, name: str) -> FieldVerdict:
    return next(one for one in model.versions[0].fields if one.name == name)


def flipped(row: Row, index: int) -> Row:
    other = "benign" if row["predicted"] == "malignant" else "malignant"
    return {"predicted": other} if index % 5 == 0 else {}


def test_traffic_like_the_baseline_is_ok(start):
    watch = start()
    watch.append(sample(2000))
    model = judged(watch)
    (version,) = model.versions
    assert (model.name, model.state, version.version, version.state) == ("tumours", "ok", "3", "ok")
    assert (version.task, version.positive) == ("binary", "malignant")
    assert version.baseline_state == "file"
    assert (version.predictions, version.labelled) == (2000, 2000)
    assert {one.state for one in version.fields} == {"ok"}
    assert summarize(version) == "Nothing is beyond its threshold in the last hour."
    assert advise(model, version) == []


def test_performance_is_that_of_scikit_learn_beside_baseline_and_thresholds(start):
    watch, rows = start(), changed(sample(4000), flipped)
    watch.append(rows)
    truth, guess = ([row[key] for row in rows] for key in ("actual", "predicted"))
    binary = {"pos_label": "malignant"}
    expected = {
        "accuracy": metrics.accuracy_score(truth, guess),
        "precision": metrics.precision_score(truth, guess, **binary),
        "recall": metrics.recall_score(truth, guess, **binary),
        "specificity": metrics.recall_score(truth, guess, pos_label="benign"),
        "f1": metrics.f1_score(truth, guess, **binary),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, guess),
        "matthews_correlation": metrics.matthews_corrcoef(truth, guess),
        "negative_predictive_value": metrics.precision_score(truth, guess, pos_label="benign"),
        "false_positive_rate": 1 - metrics.recall_score(truth, guess, pos_label="benign"),
        "false_negative_rate": 1 - metrics.recall_score(truth, guess, **binary),
    }
    figures = {one.metric: one for one in judged(watch).versions[0].figures}
    assert {name: figures[name].value for name in expected} == pytest.approx(expected)
    actual, predicted = ([row[key] for row in tumours()] for key in ("actual", "predicted"))
    assert figures["f1"].baseline == metrics.f1_score(actual, predicted, **binary)
    assert figures["accuracy"].thresholds == {"warning": 0.9, "critical": 0.8}
    assert figures["accuracy"].state == "critical"
    assert figures["recall"].state is None


@pytest.mark.parametrize(("rows", "state"), [(99, "no data"), (100, "critical")])
def test_performance_is_judged_from_100_labels_on(start, rows, state):
    watch = start(CONFIG.replace("0.8}", "0.99}"))
    watch.append([row | {"predicted": "benign"} for row in sample(rows)])
    accuracy, *_ = judged(watch).versions[0].figures
    assert (accuracy.metric, accuracy.state) == ("accuracy", state)


def test_accuracy_is_unwell_only_if_it_is_so_by_more_than_chance(start):
    watch = start(CONFIG.replace("{warning: 0.9, critical: 0.8}", "{warning: 0.8, critical: 0.1}"))
    right = [row for row in tumours() if row["actual"] == row["predicted"]]
    wrong = [row for row in tumours() if row["actual"] != row["predicted"]]
    watch.append((right * 3)[:75] + (wrong * 3)[:25])
    assert judged(watch).versions[0].figures[0].state == "ok"
    watch.append((right * 5)[:1350] + (wrong * 18)[:450])
    assert judged(watch).versions[0].figures[0].state == "warning"


def larger(row: Row, index: int) -> Row:
    return {"mean radius": row["mean radius"] * 1.3}


def lost(row: Row, index: int) -> Row:
    return {"mean texture": None} if index % 3 == 0 else {}


def unreadable(row: Row, index: int) -> Row:
    return {"mean texture": "17.3 µm"} if index % 10 == 0 else {}


def huge(row: Row, index: int) -> Row:
    return {"mean symmetry": 1e9} if index % 4 == 0 else {}


def always_benign(row: Row, index: int) -> Row:
    return {"predicted": "benign"}


def of_a_new_class(row: Row, index: int) -> Row:
    return {"predicted": "unclear"} if index % 4 == 0 else {}


@pytest.mark.parametrize(
    ("change", "name", "state", "explained"),
    [
        (larger, "mean radius", "critical", "Moved up: 76 % of values are above 15.1, 29 % in the"),
        (lost, "mean texture", "critical", "33 % missing, 0 % in the baseline."),
        (unreadable, "mean texture", "critical", "10 % not a valid value, 0 % in the baseline."),
        (huge, "mean symmetry", "critical", "25 % outside the baseline's range, 0 % in the base"),
        (always_benign, "prediction", "critical", "0 % are `malignant`, 36 % in the baseline."),
        (of_a_new_class, "prediction", "critical", "25 % in no category of the baseline, 0 % in"),
    ],
)
def test_a_field_is_judged_and_explained(start, change, name, state, explained):
    watch = start()
    watch.append(changed(sample(1200), change))
    model = judged(watch)
    one = field(model, name)
    assert one.state == model.state == state
    assert model.versions[0].fields[0] is one
    assert explain_field(one).startswith(explained)


def test_a_field_has_the_numbers_of_the_twins(start):
    watch, rows = start(), changed(sample(1200), lost)
    watch.append(rows)
    one = field(judged(watch), "mean texture")
    missing = one.bins.index("<missing>")
    assert one.counts[missing] == 400
    assert one.counts.sum() == one.rows == 1200
    assert one.baseline_counts.sum() == pytest.approx(569)
    assert one.psi == drift.psi(one.counts, one.baseline_counts)
    (share,) = [share for share in one.shares if share.kind == "missing"]
    assert share.ratio == pytest.approx(1 / 3)
    assert one.statistics["missing"] == drift.share_z(400, 1200, 0, 569)
    edges = [float(bin) for bin in one.bins[1:-3]]
    texture = [row["mean texture"] for row in rows if row["mean texture"] is not None]
    usual = [row["mean texture"] for row in tumours()]
    bins = [np.searchsorted(edges, values, side="left") for values in (texture, usual)]
    wins = np.sign(bins[0][:, None] - bins[1]).mean() / 2
    assert one.location_shift == pytest.approx(wins)


@pytest.mark.parametrize(
    ("rows", "change", "explained"),
    [
        (
            25,
            lambda row, i: {"mean radius": row["mean radius"] * 1.07},
            "Too few rows (25) to tell",
        ),
        (
            20_000,
            lambda row, i: {"mean radius": row["mean radius"] * 1.05},
            "A real change, but a small one",
        ),
    ],
)
def test_what_is_not_both_significant_and_material_is_ok(start, rows, change, explained):
    watch = start()
    watch.append(changed(sample(rows), change))
    one = field(judged(watch), "mean radius")
    assert one.state == "ok"
    assert explain_field(one).startswith(explained)


def test_the_threshold_of_the_field_goes_before_the_models(start):
    lenient = "{psi: {warning: 9, critical: 9}, location_shift: {warning: 0.4, critical: 0.4}"
    text = CONFIG.replace("{accuracy: {warning: 0.9, critical: 0.8}}", lenient + "}")
    watch = start(text)
    watch.append(changed(sample(1200), larger))
    assert field(judged(watch), "mean radius").state == "ok"
    strict = "9, fields: {mean radius: {warning: 0.1}}}"
    watch.config.path.write_text(text.replace("9}", strict, 1))
    watch.load()
    one = field(judged(watch), "mean radius")
    assert one.thresholds["psi"] == {"warning": 0.1, "critical": 9}
    assert one.state == "warning"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("js_distance", lambda w, r: spatial.distance.jensenshannon(w, r, base=2)),
        ("ks", lambda w, r: abs(np.cumsum(w / w.sum() - r / r.sum())).max()),
        ("l_infinity", lambda w, r: abs(w / w.sum() - r / r.sum()).max()),
    ],
)
def test_another_size_counts_where_it_has_a_threshold(start, size, expected):
    others = "psi: false, location_shift: false"
    text = CONFIG.replace(
        "{accuracy: {warning: 0.9, critical: 0.8}}", f"{{{others}, {size}: {{warning: 0.1}}}}"
    )
    watch = start(text)
    watch.append(changed(sample(1200), larger))
    one = field(judged(watch), "mean radius")
    assert one.state == "warning"
    assert one.effects[size] == pytest.approx(expected(one.counts, one.baseline_counts))
    watch.config.path.write_text(text.replace(f"{size}: {{warning: 0.1}}", f"{size}: false"))
    watch.load()
    assert field(judged(watch), "mean radius").state == "ok"


def parted(rows: list[Row]) -> list[Row]:
    """Each row with the smoothness of another one."""
    return [row | {"mean smoothness": rows[n - 2]["mean smoothness"]} for n, row in enumerate(rows)]


def test_features_that_part_are_told_though_each_is_as_it_was(start):
    watch = start()
    watch.pass_by(600, sample(1500))
    watch.pass_by(600, parted(sample(3000)))
    window = watch.history.window(600)
    (model,) = judge(window.samples)
    (version,) = model.versions
    assert version.unwell_fields == []
    worst = version.components[0]
    assert model.state == version.state == worst.state == "critical"
    assert worst.variance < 1
    assert {one.field for one in worst.loadings} <= set(FEATURES)
    text = "`mean smoothness` and `mean symmetry` go together less than they did"
    assert explain_component(worst).startswith(f"{text}: ")
    assert summarize(version) == f"{text}."
    assert advise(model, version)[0].startswith("Each feature by itself is as in training")
    since = Hindsight(watch.history, window, model.name, version).since
    assert since.time == pytest.approx(START + 600, abs=60)


def test_components_may_have_to_be_more_than_significant_or_are_not_judged(start):
    limits = "multivariate_drift: {warning: 1.5, critical: 9}"
    text = CONFIG.replace("thresholds: {", f"thresholds: {{{limits}, ")
    watch = start(text)
    watch.append(parted(sample(1500)))
    (version,) = judged(watch).versions
    assert 1 < version.components[0].significance < 1.5
    assert version.unwell_components == []
    watch.config.path.write_text(text.replace("warning: 1.5", "warning: 1"))
    watch.load()
    assert judged(watch).versions[0].components[0].state == "warning"
    watch.config.path.write_text(text.replace("{warning: 1.5, critical: 9}", "false"))
    watch.load()
    assert judged(watch).versions[0].unwell_components == []


def test_a_label_that_moved_is_shown_and_alarms_nobody(start):
    text = CONFIG.replace("{accuracy: {warning: 0.9, critical: 0.8}}", "{performance_gap: false}")
    watch = start(text)
    watch.append([row | {"actual": "benign"} for row in sample(90)])  # too few to judge figures
    model = judged(watch)
    assert field(model, "label").state == "critical"
    assert model.versions[0].state == "ok"


def test_a_model_without_a_baseline_is_learning(start):
    text = "".join(line for line in CONFIG.splitlines(True) if "baseline" not in line)
    watch = start(text)
    watch.append(sample(300))
    model = judged(watch)
    (version,) = model.versions
    assert model.state == version.state == "learning"
    assert (version.baseline_id, version.fields) == ("", ())
    assert summarize(version).startswith("Learning")
    watch.append(sample(1900))
    assert judged(watch).state == "ok"
    assert field(judged(watch), "mean radius").rows == 200
    assert {one.rows for one in judged(watch).versions[0].components} == {200}


def test_a_model_without_traffic_has_no_data(start):
    watch = start()
    watch.pass_by(60)
    model = judged(watch)
    assert model.state == "no data"
    assert summarize(model.versions[0]) == "No predictions in the last hour."
    assert advise(model, model.versions[0])[0].startswith("Nothing is left to read. ")


def test_rows_that_wait_for_scrapes_are_no_lack_of_traffic(start):
    watch = start()
    watch.pass_by(60)
    model = replace(judged(watch), lag_bytes=4096.0)
    (advice,) = advise(model, model.versions[0])
    assert advice.startswith("4,096 bytes of the log aren't counted yet. After a start, rows wait")
    assert "traffic" not in advice


def test_rows_that_are_all_rejected_are_no_lack_of_traffic_either(start):
    watch = start()
    watch.pass_by(60)
    model = replace(judged(watch), rejected={"no_id": 50.0}, rejected_state="critical")
    assert advise(model, model.versions[0]) == [
        "Most rejected rows are no_id: look at the paths in `fields`, and at what writes the log."
    ]


def test_a_positive_class_that_no_row_has_is_said(start):
    watch = start()
    watch.append(sample(1000))
    model = judged(watch)
    for positive, said in (("malignant", 0), ("1", 1)):
        advice = advise(model, replace(model.versions[0], positive=positive))
        assert advice == said * [
            "No row is of the positive class `1`: the classes are `benign` and `malignant`. "
            "See `positive`."
        ]


@pytest.mark.parametrize(("bad", "state"), [(9, "ok"), (10, "warning"), (40, "critical")])
def test_rejected_rows_are_judged_by_their_share(start, bad, state):
    watch = start()
    with watch.log.open("a") as log:
        log.write("{\n" * bad)
    watch.append(sample(150))
    model = judged(watch)
    assert model.rejected == {"malformed": bad}
    assert model.rejected_state == model.state == state


def test_versions_are_judged_apart_and_one_that_retired_is_last(start):
    text = CONFIG.replace('version: "3"', "version: {field: v}")
    watch = start(text)
    watch.pass_by(60, [row | {"v": "1"} for row in sample(600)])
    watch.pass_by(600)
    watch.pass_by(60, changed([row | {"v": "2"} for row in sample(600)], larger))
    model = judged(watch, 300)
    assert [(one.version, one.state) for one in model.versions] == [
        ("2", "critical"),
        ("1", "no data"),
    ]
    assert model.state == "critical"


def test_hindsight_finds_when_it_began(start):
    watch = start()
    watch.pass_by(1200, sample(2000))
    watch.pass_by(600, changed(changed(sample(1000, seed=2), larger), flipped))
    window = watch.history.window(3600)
    (model,) = judge(window.samples)
    (version,) = model.versions
    hindsight = Hindsight(watch.history, window, model.name, version)
    began = hindsight.field_since(field(model, "mean radius"))
    assert began.seen
    assert began.time == pytest.approx(START + 1200, abs=30)
    assert hindsight.figure_since.time == pytest.approx(START + 1200, abs=60)
    assert hindsight.since.time == min(began.time, hindsight.figure_since.time)
    line = hindsight.figure_line(version.figures[0])
    assert line.values[30] > 0.9
    assert line.values[-1] < 0.8
    traffic = hindsight.traffic_line().values[1:]
    assert traffic == pytest.approx(np.full(59, 2000 / 1200), rel=0.1)


def test_hindsight_says_when_it_can_not_see_the_beginning_or_it_is_over(start):
    watch = start()
    watch.pass_by(600, changed(sample(1500), larger))
    window = watch.history.window(3600)
    (model,) = judge(window.samples)
    began = Hindsight(watch.history, window, model.name, model.versions[0]).since
    assert (began.seen, began.time) == (False, START)
    watch.pass_by(300, sample(750, seed=2))
    window = watch.history.window(3600)
    (model,) = judge(window.samples)
    one = field(model, "mean radius")
    assert one.state == "critical"
    assert Hindsight(watch.history, window, model.name, model.versions[0]).field_since(one) is None


def test_advice_begins_with_broken_input(start):
    watch = start()
    watch.append(changed(changed(sample(1200), lost), larger))
    model = judged(watch)
    broken, drifted, *_ = advise(model, model.versions[0])
    assert broken.startswith("Look at what feeds `mean texture` first")
    assert drifted.startswith("Find out what changed for `mean radius`")


def test_the_worst_state_is_the_one_that_needs_attention_most():
    assert worst(["ok", "no data", "learning"]) == "no data"
    assert worst(["warning", "critical", "no data"]) == "critical"
    assert worst([]) == "ok"


def test_a_feature_has_its_importance_in_the_baseline(start):
    model = judged(start())
    found = [field(model, name).importance for name in FEATURES]
    assert {one.of for one in found} == {"prediction"}
    assert sorted(one.place for one in found) == [1, 2, 3, 4]
    assert min(found, key=lambda one: one.place) == field(model, "mean radius").importance
    assert field(model, "mean radius").importance.share > 0.4
    assert field(model, "score").importance is None


def test_the_share_of_attributions_goes_before_what_a_feature_tells(start):
    text = CONFIG.replace("      score:", "      attributions: shap\n      score:")
    shap = {"mean radius": -3.0, "mean texture": 1.0}
    watch = start(text, training=[row | {"shap": shap} for row in sample(300)])
    found = {name: field(judged(watch), name).importance for name in FEATURES}
    assert found["mean radius"] == Importance("attribution", 0.75, 1, 2)
    assert found["mean texture"] == Importance("attribution", 0.25, 2, 2)


def renamed(row: Row) -> Row:
    return {("texture" if name == "mean texture" else name): v for name, v in row.items()}


class TestSchemaAndConstraints:
    def test_fields_that_are_gone_or_of_another_type(self, start):
        watch = start()
        rows = [renamed(row) for row in sample(500)]
        rows[::10] = [row | {"mean radius": "large"} for row in rows[::10]]
        watch.append(rows)
        model = judged(watch)
        found = [(one.field, one.kind, one.rows, one.state) for one in violated(model)]
        assert found == [
            ("mean texture", "missing_field", 500, "critical"),
            ("mean radius", "wrong_type", 50, "warning"),
            ("texture", "extra_field", 500, "ok"),
        ]
        assert model.state == "critical"
        assert "`mean texture` is gone in 100 % of the rows." in summarize(model.versions[0])

    def test_nine_rows_are_too_few(self, start):
        watch = start()
        watch.append([*sample(9), *[{"predicted": "benign", "mean radius": 1}] * 9])
        assert {one.state for one in violated(judged(watch))} == {"ok"}

    def test_what_was_missing_in_the_baseline_is_no_violation(self, start):
        training = sample(1000)
        for row in training[::2]:
            del row["mean texture"]
        watch = start(training=training)
        watch.append(training)
        (gone,) = violated(judged(watch))
        assert (gone.kind, gone.rows, gone.state) == ("missing_field", 500, "ok")

    def test_constraints_by_their_thresholds(self, start):
        watch = start(CONFIG + "    constraints: {mean radius: {max: 15}, score: {min: 0}}\n")
        rows = sample(1000)
        watch.append(rows)
        beyond = sum(row["mean radius"] > 15 for row in rows)
        radius = violated(judged(watch))[0]
        assert (radius.field, radius.kind, radius.rows) == ("mean radius", "max", beyond)
        assert (radius.state, radius.thresholds) == (
            "critical",
            {"warning": 0.01, "critical": 0.05},
        )

    def test_since_when(self, start):
        watch = start()
        watch.pass_by(1200, sample(1200))
        watch.pass_by(600, [renamed(row) for row in sample(600)])
        window = watch.history.window(3600)
        (model,) = judge(window.samples)
        (version,) = model.versions
        hindsight = Hindsight(watch.history, window, "tumours", version)
        for one in version.violations:
            assert hindsight.violation_since(one).time == pytest.approx(START + 1200, abs=65)
        assert hindsight.since.time == pytest.approx(START + 1200, abs=65)


def violated(model: ModelVerdict) -> tuple[Violation, ...]:
    return model.versions[0].violations


def test_rows_that_come_twice_or_from_the_future(start):
    text = CONFIG.replace("      label: actual\n", "      id: id\n      timestamp: t\n") + (
        "    labels: {source: {type: file, path: labels.jsonl}, fields: {id: id, label: y}}\n"
    )
    watch = start(text)
    rows = [row | {"id": n % 180, "t": START} for n, row in enumerate(sample(200))]
    for row in rows[:60]:
        row["t"] = START + 301
    rows[60]["t"] = START + 299
    watch.append(rows)
    model = judged(watch)
    assert (model.duplicates, model.duplicates_state) == (20, "warning")
    assert (model.from_future, model.from_future_state) == (60, "critical")
    assert model.state == "critical"
    advice = " ".join(advise(model, model.versions[0]))
    assert "come twice" in advice
    assert "from the future" in advice


def test_labels_from_the_future_are_counted_and_joined_as_of_now(start, tmp_path):
    (tmp_path / "labels.jsonl").touch()
    text = CONFIG.replace("      label: actual\n", "      id: id\n      timestamp: t\n") + (
        "    labels:\n"
        "      source: {type: file, path: labels.jsonl}\n"
        "      fields: {id: id, label: y, timestamp: t}\n"
    )
    watch = start(text)
    watch.append([row | {"id": n, "t": START - 60} for n, row in enumerate(sample(10))])
    ahead = [0, 299, 301, 10**6]
    labels = [{"id": n, "y": "benign", "t": START + by} for n, by in enumerate(ahead)]
    write(watch.folder / "labels.jsonl", labels)
    watch.count()
    families = {one.family.name: one for one in watch.edition.samples}
    future = families["ml_future_timestamps_total"]
    by_log = dict(zip(future.family.label_sets, future.values.tolist(), strict=True))
    assert by_log == {("tumours", "3", "predictions"): 0, ("tumours", "3", "labels"): 2}
    (model,) = judge(watch.history.window(3600).samples)
    assert (model.labels["joined"], model.from_future) == (4, 0)
    assert model.versions[0].usual_label_delay == pytest.approx(60)

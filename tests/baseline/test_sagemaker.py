"""Baselines of SageMaker Model Monitor: read as they are, and written from training data."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from sklearn.metrics import confusion_matrix

from ml_exporter.baseline import baseline as baselines
from ml_exporter.baseline import sagemaker as sagemaker_baseline
from ml_exporter.baseline.baseline import Baseline, BaselineError, BaselineField, Request
from ml_exporter.baseline.profiling import build
from ml_exporter.baseline.sagemaker.sketch import Sketch
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.cli import main
from ml_exporter.columns import Column
from ml_exporter.config import config
from ml_exporter.statistics.bins import bin_labels, quantile_edges
from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "sagemaker"
CONFIG = """\
models:
  - name: churn
    task: binary
    positive: 1
    baseline: {baseline}
    source: {{type: file, path: "capture/*.jsonl", format: sagemaker}}
    fields: {{id: inferenceId, prediction: score, score: score}}
    labels:
      source: {{type: file, path: "truth/*.jsonl", format: sagemaker-ground-truth}}
      fields: {{id: eventId, label: Churn}}
"""


def feature(name: str) -> Field:
    return Field("feature", name)


def request(bins: int = 10, categories: int = 50, **types: Any) -> Request:
    of = {feature(name): type for name, type in types.items()}
    return Request("churn", "3", of | {LABEL: "category"}, {}, bins, categories)


def numbers(
    name: str, values: list[float], levels: list[list[float]] | None, **common: float
) -> dict[str, Any]:
    """A column as deequ's KLLSketch describes it; without levels, without its sketch."""
    low, high = min(values), max(values)
    bounds = [low + (high - low) * n / 10 for n in range(11)]
    counts = [sum(a <= one < b for one in values) for a, b in pairwise(bounds)]
    counts[-1] = sum(one >= bounds[-2] for one in values)
    kll: dict[str, Any] = {
        "buckets": [
            {"lower_bound": a, "upper_bound": b, "count": float(count)}
            for (a, b), count in zip(pairwise(bounds), counts, strict=True)
        ]
    }
    if levels is not None:
        kll["sketch"] = {"parameters": {"c": 0.64, "k": 2048.0}, "data": levels}
    return {
        "name": name,
        "inferred_type": "Integral" if all(one % 1 == 0 for one in values) else "Fractional",
        "numerical_statistics": {
            "common": {"num_present": len(values), "num_missing": 0} | common,
            "mean": sum(values) / len(values),
            "sum": sum(values),
            "std_dev": float(np.std(values)),
            "min": low,
            "max": high,
            "distribution": {"kll": kll},
        },
    }


def texts(name: str, counts: dict[str, int], distinct: float, **common: float) -> dict[str, Any]:
    buckets = [{"value": value, "count": count} for value, count in counts.items()]
    return {
        "name": name,
        "inferred_type": "String",
        "string_statistics": {
            "common": {"num_present": sum(counts.values()), "num_missing": 0} | common,
            "distinct_count": distinct,
            "distribution": {"categorical": {"buckets": buckets}},
        },
    }


def document(*features: dict[str, Any], rows: int = 100) -> bytes:
    content = {"version": 0.0, "dataset": {"item_count": rows}, "features": features}
    return json.dumps(content).encode()


def decode(
    *features: dict[str, Any],
    constraints: bytes | None = None,
    wanted: Request | None = None,
    roles: dict[str, Field] | None = None,
    rows: int = 100,
) -> Baseline:
    data = document(*features, rows=rows)
    made = sagemaker_baseline.decode(data, constraints, wanted or request(), roles or {})
    assert baselines.decode(baselines.encode(made)) == made
    return made


def field(one: dict[str, Any], **options: Any) -> BaselineField:
    (found,) = decode(one, **options).fields
    return found


class TestNumbers:
    values = np.random.default_rng(0).normal(50, 10, 500).round(1).tolist()

    def test_have_the_quantiles_of_their_sketch(self) -> None:
        found = field(numbers("x", self.values, [self.values], num_missing=7))
        edges = quantile_edges(np.array(self.values), 10)
        assert found.type == "number"
        assert found.edges == edges.tolist()
        assert found.counts["<missing>"] == 7
        assert list(found.array()) == [*found.count(Column(self.values))[:-2], 7, 0]

    def test_as_many_bins_as_are_wanted(self) -> None:
        found = field(numbers("x", self.values, [self.values]), wanted=request(bins=4))
        assert len(found.edges or []) == 5

    def test_values_of_a_level_stand_for_twice_as_many_rows_as_those_below(self) -> None:
        levels = [[1.0], [2.0, 3.0], [4.0]]
        found = field(numbers("x", [1, 2, 2, 3, 3, 4, 4, 4, 4], levels), wanted=request(bins=9))
        assert list(found.counts.items())[1:5] == [("1.0", 1), ("2.0", 2), ("3.0", 2), ("4.0", 4)]

    def test_a_sketch_that_lost_rows_is_scaled_to_them(self) -> None:
        one = numbers("x", [1.0] * 5 + [2.0] * 5, [[1.0, 2.0]])
        assert list(field(one).counts.values()) == [0, 5, 5, 0, 0, 0]

    def test_extremes_are_those_of_all_rows(self) -> None:
        one = numbers("x", [0.0, *range(10, 90), 200.0], [[float(n) for n in range(10, 90)]])
        edges = field(one).edges or []
        assert (edges[0], edges[-1]) == (0.0, 200.0)

    def test_infinity_and_nan_are_invalid(self) -> None:
        one = numbers("x", [1.0, 2.0, 3.0], [[1.0, 2.0, 3.0, math.inf, math.nan]], num_present=5)
        assert field(one).counts["<invalid>"] == 2

    def test_a_wide_range_of_rows_costs_no_memory(self) -> None:
        levels: list[list[float]] = [[] for _ in range(33)]
        levels[32] = [float(n) for n in range(100)]
        found = field(numbers("x", levels[32], levels, num_present=100 << 32))
        assert found.rows == 100 << 32
        assert found.counts["9.0"] == 10 << 32

    @pytest.mark.parametrize("whole", [True, False])
    @given(data=st.data())
    def test_without_a_sketch_are_counted_in_its_buckets(
        self, whole: bool, data: st.DataObject
    ) -> None:
        """Whatever is in a bucket in training is in the bin of it in production."""
        some = st.integers(-50, 50) if whole else st.floats(-1e6, 1e6)
        values = data.draw(st.lists(some.map(float), min_size=1, max_size=40))
        found = field(numbers("x", values, None))
        assert found.array().tolist() == found.count(Column(values)).tolist()
        assert found.counts["<below>"] == found.counts["<above>"] == 0

    def test_of_tenths_without_a_sketch(self) -> None:
        """A bucket has no upper bound, and a bin has: 0.1 is in the second of both."""
        found = field(numbers("x", [n / 10 for n in range(11)], None))
        assert found.edges is not None
        assert found.edges[1] == math.nextafter(0.1, 0)
        assert list(found.array()) == [0, *[1] * 9, 2, 0, 0, 0]

    @pytest.mark.parametrize("levels", [None, []])
    def test_that_are_categories_by_configuration(self, levels: list[list[float]] | None) -> None:
        one = numbers("x", [0.0] * 80 + [1.0] * 15 + [2.0] * 5, levels)
        assert field(one, wanted=request(x="category")).counts == {
            **{"0": 80, "1": 15},
            **{"<other>": 5, "<missing>": 0, "<invalid>": 0},
        }

    def test_that_are_categories_by_their_constraints(self) -> None:
        one = numbers("x", [0.0] * 80 + [1.0] * 20, [[0.0] * 80 + [1.0] * 20])
        said = {"features": [{"name": "x", "inferred_type": "String", "completeness": 1.0}]}
        assert field(one, constraints=json.dumps(said).encode()).type == "category"
        wanted = request(x="number")
        assert field(one, constraints=json.dumps(said).encode(), wanted=wanted).type == "number"

    def test_with_no_value_at_all(self) -> None:
        one = numbers("x", [0.0], None, num_present=0, num_missing=100)
        assert field(one).counts == {"<other>": 0, "<missing>": 100, "<invalid>": 0}


class TestTexts:
    def test_are_categories(self) -> None:
        found = field(texts("plan", {"b": 50, "a": 41, "rare": 9}, 3.0, num_missing=2))
        assert list(found.counts.items()) == [
            *(("a", 41), ("b", 50), ("<other>", 9)),
            *(("<missing>", 2), ("<invalid>", 0)),
        ]

    def test_that_are_not_told_are_other(self) -> None:
        one = texts("plan", {"a": 40}, 10, num_present=90)
        assert field(one).counts == {"a": 40, "<other>": 50, "<missing>": 0, "<invalid>": 0}

    def test_that_differ_too_much_to_be_counted_are_any(self) -> None:
        found = field(texts("id", {"a": 60}, 100_000, num_present=1_000_000))
        assert found.counts == {"<any>": 1_000_000, "<missing>": 0, "<invalid>": 0}

    @pytest.mark.parametrize("told", [{}, {f"id-{n}": 1 for n in range(20)}])
    def test_that_differ_are_any(self, told: dict[str, int]) -> None:
        one = texts("id", told, 100, num_present=100, num_missing=1)
        assert field(one).counts == {"<any>": 100, "<missing>": 1, "<invalid>": 0}
        as_category = field(one, wanted=request(id="category"))
        assert as_category.counts == {"<other>": 100, "<missing>": 1, "<invalid>": 0}

    def test_have_the_names_that_captured_values_get(self) -> None:
        one = texts("x", {"007": 50, "1.0": 20, "": 20, "<x": 10}, 4)
        assert field(one).counts == {
            **{"1": 20, "7": 50, "\\<x": 10},
            **{"<other>": 0, "<missing>": 20, "<invalid>": 0},
        }

    def test_that_are_numbers_by_configuration(self) -> None:
        one = texts("x", {"1": 30, "2.5": 60, "n/a": 5, "": 5}, 4)
        found = field(one, wanted=request(x="number", bins=4))
        assert found.counts == {
            **{"<below>": 0, "1.0": 30, "2.5": 60, "<above>": 0},
            **{"<missing>": 5, "<invalid>": 5},
        }

    def test_of_an_unknown_type(self) -> None:
        found = field({"name": "x", "inferred_type": "Unknown"}, rows=70)
        assert found.counts == {"<other>": 0, "<missing>": 70, "<invalid>": 0}


class TestRoles:
    def model(self, tmp_path: Path, text: str) -> config.Model:
        path = tmp_path / "ml-exporter.yml"
        path.write_text(text)
        return config.load(path).models[0]

    def test_are_the_configuration_s(self, tmp_path: Path) -> None:
        model = self.model(tmp_path, CONFIG.format(baseline="b"))
        assert sagemaker_baseline.roles(model) == {
            "prediction": PREDICTION,
            "score": SCORE,
            "Churn": LABEL,
        }

    def test_a_label_is_of_classes(self) -> None:
        churn = [0.0] * 80 + [1.0] * 20
        made = decode(
            numbers("Churn", churn, [churn]), numbers("x", churn, [churn]), roles={"Churn": LABEL}
        )
        assert [one.key for one in made.fields] == [LABEL, feature("x")]
        assert made.by_key[LABEL].counts["1"] == 20
        assert made.by_key[feature("x")].type == "number"
        assert made.classes == ["0", "1"]

    def test_features_that_are_configured_are_all_there_are(self) -> None:
        wanted = Request("m", None, {}, {feature("age"): "_c1", feature("b"): "x.b"}, 10, 50)
        columns = [numbers(name, [1.0, 2.0], [[1.0, 2.0]]) for name in ("_c0", "_c1", "b")]
        made = decode(*columns, wanted=wanted)
        assert [(one.name, one.path) for one in made.fields] == [("age", "_c1"), ("b", "x.b")]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"[", "not a baseline: Expecting value: line 1 column 2 (char 1)"),
        (b"[]", "not a baseline: $: expected an object, got a list"),
        (b'{"x": 0}', "not a baseline: $.format: is missing"),
        (
            b'{"features": []}',
            "not what Model Monitor writes: $.dataset: is missing",
        ),
        (b'{"dataset": {"item_count": 5}, "features": []}', "there are no features"),
        (document({"name": "x"}, rows=0), "dataset.item_count is 0"),
        (
            b'{"dataset": {"item_count": "5"}, "features": []}',
            'not what Model Monitor writes: $.dataset.item_count: expected a number, got "5"',
        ),
        (b'{"dataset": {"item_count": -5}, "features": []}', "-5.0 is no count"),
        (b'{"dataset": {"item_count": NaN}, "features": []}', "nan is no count"),
        (document({"name": "x"}, {"name": "x"}), "features[1] (x): occurs twice"),
        (
            document({"name": "x", "numerical_statistics": {"common": {"num_present": 5}}}),
            "features[0] (x): distribution.kll: has neither a sketch nor buckets",
        ),
        (
            document(numbers("x", [1.0], [[]] * 51)),
            "features[0] (x): distribution.kll.sketch.data: more than 50 levels",
        ),
        (
            document(
                {
                    "name": "x",
                    "numerical_statistics": {
                        "common": {"num_present": 5},
                        "distribution": {
                            "kll": {"buckets": [{"lower_bound": 2, "upper_bound": 1, "count": 5}]}
                        },
                    },
                }
            ),
            "features[0] (x): distribution.kll.buckets[0]: bounds must ascend",
        ),
        (
            document(numbers("c", [n / 3 for n in range(30)], None)),
            "features[0] (c): can't be a category: the file has ranges of its numbers alone",
        ),
        (
            document(texts("n", {"a": 10}, 1)),
            "features[0] (n): can't be a number: none of the values is one",
        ),
    ],
)
def test_what_can_not_be_read(content: bytes, error: str, tmp_path: Path) -> None:
    path = tmp_path / "statistics.json"
    path.write_bytes(content)
    wanted = request(c="category", n="number")
    with pytest.raises(BaselineError) as caught:
        sagemaker_baseline.load(tmp_path, wanted, {})
    assert str(caught.value) == f"{path}: {error}"


def test_constraints_that_can_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "statistics.json"
    path.write_bytes(document(texts("x", {"a": 100}, 1)))
    (tmp_path / "constraints.json").write_text('{"features": 1}')
    with pytest.raises(BaselineError) as caught:
        sagemaker_baseline.load(path, request(), {})
    assert str(caught.value) == (
        f"{path}: constraints.json beside it: not what Model Monitor writes:"
        " $.features: expected a list, got 1"
    )


@pytest.mark.parametrize("overrides", ["monitoringConfigOverrides", "monitoring_config_overrides"])
@pytest.mark.parametrize("version", [0, 0.0])
def test_files_as_they_are_in_the_wild(overrides: str, version: float) -> None:
    told = {"name": "message", "inferred_type": "String", "completeness": 1.0}
    settings = {overrides: {"evaluate_constraints": "Enabled"}}
    said = {
        "version": version,
        "features": [told | {"string_constraints": {"domains": ["a"], **settings}}],
        "monitoring_config": {"distribution_constraints": {"comparison_threshold": 1.0}},
    }
    constraints = json.dumps(said).encode()
    assert field(texts("message", {"a": 100}, 1.0), constraints=constraints).counts["a"] == 100


@given(st.data())
def test_whatever_a_file_says_it_is_read_or_refused(data: st.DataObject) -> None:
    content = json.loads(
        document(numbers("x", [1.0, 2.0], [[1.0, 2.0]]), texts("y", {"a": 2}, 1), rows=2)
    )
    place: Any = content
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else [0]))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(
            st.sampled_from([None, [], {}, "", "NaN", -1, 0, 1e300, math.nan, math.inf, [[]], True])
        )
        break
    try:
        made = sagemaker_baseline.decode(json.dumps(content).encode(), None, request(), {})
    except BaselineError:
        return
    assert baselines.decode(baselines.encode(made)) == made


class TestSketch:
    def test_is_exact_as_long_as_it_can(self) -> None:
        sketch = Sketch()
        sketch.add(np.arange(2048.0))
        assert [level.size for level in sketch.levels] == [2048]

    @pytest.mark.parametrize("order", ["ascending", "shuffled"])
    def test_keeps_every_rank_within_a_thousandth(self, order: str) -> None:
        values = np.arange(300_000.0)
        if order == "shuffled":
            values = np.random.default_rng(0).permutation(values)
        sketch = Sketch()
        for part in np.array_split(values, 60):
            sketch.add(part)
        assert sum(level.size << n for n, level in enumerate(sketch.levels)) == values.size
        assert sum(level.size for level in sketch.levels) < 3 * sketch.k
        bounds = np.linspace(0, values.size, 101)
        assert np.abs(sketch.rows_below(bounds) - bounds).max() < values.size / 1000


class TestWriting:
    def build(self, columns: dict[Field, list[Any]], text: bool = False) -> tuple[Baseline, Batch]:
        rows = len(next(iter(columns.values())))
        batch = Batch(rows, {key: Column(values, text) for key, values in columns.items()})
        return build(lambda: [batch], request()), batch

    def files(self, made: Baseline, batch: Batch) -> dict[str, Any]:
        written = sagemaker_baseline.describe(
            lambda: [batch.slice(0, 3), batch.slice(3, batch.rows)], made, {LABEL: "Churn"}
        )
        return {name: json.loads(data) for name, data in written.items()}

    def test_the_whole_of_small_files(self) -> None:
        made, batch = self.build(
            {
                LABEL: ["no"] * 30 + ["yes"] * 10,
                feature("age"): [*range(37), None, None, math.nan],
                feature("empty"): [None] * 40,
            }
        )
        assert self.files(made, batch) == {
            name: json.loads((ROOT / "tests/baseline/golden/sagemaker" / name).read_text())
            for name in ("statistics.json", "constraints.json")
        }

    def test_moments_are_those_of_numpy(self) -> None:
        values = np.random.default_rng(0).normal(1e6, 1.0, 5000)
        made, batch = self.build({feature("x"): values.tolist()})
        (said,) = self.files(made, batch)["statistics.json"]["features"]
        found = said["numerical_statistics"]
        assert found["mean"] == pytest.approx(values.mean(), rel=1e-15)
        assert found["sum"] == pytest.approx(values.sum(), rel=1e-15)
        assert found["std_dev"] == pytest.approx(values.std(), rel=1e-9)
        assert (found["min"], found["max"]) == (values.min(), values.max())
        buckets = found["distribution"]["kll"]["buckets"]
        exact, _ = np.histogram(values, [one["lower_bound"] for one in buckets] + [values.max()])
        assert [one["count"] for one in buckets] == pytest.approx(exact, abs=5)

    @given(
        st.lists(
            st.none() | st.floats(-1e9, 1e9) | st.integers(-9, 9) | st.just("a"),
            min_size=1,
            max_size=60,
        ),
        st.lists(st.sampled_from(["a", "b", "<x", "", "3.0", None]), min_size=60, max_size=60),
    )
    def test_what_is_written_is_read_as_it_was(self, some: list[Any], plans: list[Any]) -> None:
        """All but invalid values, which are missing ones to the format."""
        columns = {
            feature("x"): some,
            feature("plan"): plans[: len(some)],
            LABEL: plans[: len(some)],
        }
        made, batch = self.build(columns)
        written = sagemaker_baseline.describe(lambda: [batch], made, {LABEL: "Churn"})
        read = sagemaker_baseline.decode(
            written["statistics.json"], written["constraints.json"], request(), {"Churn": LABEL}
        )
        for before, after in zip(made.fields, read.fields, strict=True):
            lost = before.counts["<invalid>"]
            expected = before.counts | {
                "<missing>": before.counts["<missing>"] + lost,
                "<invalid>": 0,
            }
            assert (after.key, after.type, after.edges) == (before.key, before.type, before.edges)
            assert after.counts == expected

    def test_of_many_rows_bins_are_as_good_as_the_sketch(self) -> None:
        values = np.random.default_rng(0).lognormal(size=100_000)
        made, batch = self.build({feature("x"): values.tolist()})
        written = sagemaker_baseline.describe(lambda: [batch], made, {})
        read = sagemaker_baseline.decode(written["statistics.json"], None, request(), {})
        (one,) = read.fields
        exact = one.count(Column(values.tolist()))
        assert np.abs(one.array() - exact).max() < values.size / 500
        assert one.bins != bin_labels(np.array([0.0]))


class TestCommand:
    def test_writes_a_folder_that_is_a_baseline(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("ml-exporter.yml").write_text(CONFIG.format(baseline="made/it"))
        rows = [f"{n % 2},{n},{'ab'[n % 2]}\n" for n in range(100)]
        Path("training.csv").write_text("Churn,age,plan\n" + "".join(rows))
        assert (
            main(["baseline", "--input=training.csv", "--output=made/it", "--format=sagemaker"])
            == 0
        )
        assert capsys.readouterr().err.endswith("100 rows and 3 fields, 2 classes\n")
        assert sorted(path.name for path in Path("made/it").iterdir()) == [
            "constraints.json",
            "statistics.json",
        ]
        assert main(["check"]) == 0
        assert (
            "churn: task=binary version=unversioned fields=5 baseline=" in capsys.readouterr().out
        )

    def test_needs_a_folder(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["baseline", "--input=x", "--format=sagemaker"])
        assert "--format=sagemaker writes two files: name a folder" in capsys.readouterr().err

    def test_says_where_it_can_not_write(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("ml-exporter.yml").write_text(CONFIG.format(baseline="b"))
        Path("training.csv").write_text("Churn,age\n1,2\n")
        Path("taken").write_text("")
        arguments = ["--input=training.csv", "--output=taken", "--format=sagemaker"]
        assert main(["baseline", *arguments]) == 1
        assert capsys.readouterr().err == "taken: file exists\n"

    def test_check_says_what_is_wrong(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("ml-exporter.yml").write_text(CONFIG.format(baseline="statistics.json"))
        Path("statistics.json").write_text('{"dataset": {}, "features": []}')
        assert main(["check"]) == 1
        assert capsys.readouterr().err == (
            f"ml-exporter.yml:5: models[0].baseline: {tmp_path}/statistics.json: not what Model"
            " Monitor writes: $.dataset.item_count: is missing\n"
        )


class TestExample:
    @pytest.fixture
    def samples(self, tmp_path: Path) -> dict[str, list[Any]]:
        folder = tmp_path / "sagemaker"
        shutil.copytree(EXAMPLE, folder)
        output = folder / "metrics.txt"
        arguments = [f"--config.file={folder / 'ml-exporter.yml'}", f"--output={output}"]
        assert main(["run", "--once", *arguments]) == 0
        found: dict[str, list[Any]] = {}
        for family in text_string_to_metric_families(output.read_text()):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample)
        return found

    def records(self, folder: str) -> list[Any]:
        files = sorted((EXAMPLE / folder).rglob("*.jsonl"))
        return [json.loads(line) for path in files for line in path.read_text().splitlines()]

    def test_counts_all_that_was_captured(self, samples: dict[str, list[Any]]) -> None:
        captured = [one["captureData"] for one in self.records("capture")]
        rows = [row for one in captured for row in csv.reader(one["endpointInput"]["data"].split())]
        scores = [
            float(score) for one in captured for score in one["endpointOutput"]["data"].split(",")
        ]
        truths = [
            label
            for one in self.records("ground-truth")
            for label in one["groundTruthData"]["data"].split()
        ]
        assert len(captured) < len(rows) == len(scores) == len(truths)
        assert [sample.value for sample in samples["ml_predictions_total"]] == [len(rows)]
        matrix = confusion_matrix(truths, [str(int(score > 0.5)) for score in scores])
        assert {
            (sample.labels["actual"], sample.labels["predicted"]): sample.value
            for sample in samples["ml_outcomes_total"]
        } == {(str(a), str(p)): matrix[a, p] for a in (0, 1) for p in (0, 1)}
        assert not any(sample.value for sample in samples["ml_rows_rejected_total"])
        assert not any(sample.value for sample in samples["ml_schema_violations_total"])

    def test_counts_the_features_by_the_names_of_the_baseline(
        self, samples: dict[str, list[Any]]
    ) -> None:
        captured = [one["captureData"]["endpointInput"]["data"] for one in self.records("capture")]
        rows = [row.split(",") for one in captured for row in one.split()]
        known = json.loads((EXAMPLE / "baseline/statistics.json").read_text())["features"]
        names = [one["name"] for one in known[1:]]  # the first is the label
        counted: dict[str, Counter[str]] = {}
        for sample in samples["ml_field_values_total"]:
            if sample.labels["role"] == "feature" and sample.value:
                of = counted.setdefault(sample.labels["field"], Counter())
                of[sample.labels["bin"]] += int(sample.value)
        assert list(counted) == names
        for place, one in enumerate(known[1:]):
            training = np.array(
                one["numerical_statistics"]["distribution"]["kll"]["sketch"]["data"]
            )
            edges = quantile_edges(training[0], 10)
            values = Column([float(row[place]) for row in rows])
            like = BaselineField(
                role="feature",
                name=one["name"],
                type="number",
                edges=edges.tolist(),
                counts=dict.fromkeys([*bin_labels(edges), "<missing>", "<invalid>"], 0),
            )
            expected = dict(zip(like.bins, like.count(values).tolist(), strict=True))
            assert counted[one["name"]] == {bin: n for bin, n in expected.items() if n}

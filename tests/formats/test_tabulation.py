import pytest

from ml_exporter.batch import LABEL, PREDICTION
from ml_exporter.columns import ABSENT
from ml_exporter.formats.exchanges import LONGEST_PREFIX, NO_TABLE, Invocation, Rows
from ml_exporter.formats.rows import MOST_FEATURES, Layout
from ml_exporter.formats.tabulation import Tabulator
from tests.formats.exchanging import decode_sides, layout, rows
from tests.formats.feeding import feature

TWO = Rows(2, {"age": [31, 40], "plan": ["a", "b"]})
SCORES = Rows(2, places=[[0.1, 0.2], [0.9, 0.8]])


class TestFeatures:
    def test_are_inputs_by_their_names(self):
        decoded = decode_sides(TWO, given=layout(["age", "inputs.plan"]))
        assert rows(decoded) == [
            {"age": 31, "inputs.plan": "a"},
            {"age": 40, "inputs.plan": "b"},
        ]

    def test_without_names_are_inputs_in_their_order(self):
        inputs = Rows(1, places=[[31], ["a"]])
        assert rows(decode_sides(inputs, given=layout(["age", "inputs.plan"]))) == [
            {"age": 31, "inputs.plan": "a"}
        ]

    def test_of_another_number_have_numbers(self):
        inputs = Rows(1, places=[[31], ["a"]])
        decoded = decode_sides(inputs, given=layout(["_c1", "age", "plan"]))
        assert rows(decoded) == [{"_c1": "a"}]
        assert {name: mask.tolist() for name, mask in decoded.batch.extra.items()} == {
            "_c0": [True]
        }

    def test_are_never_taken_from_the_outputs(self):
        outputs = Rows(1, {"age": [9], "prediction": ["x"]})
        assert rows(decode_sides(Rows(1, {"plan": ["a"]}), outputs, layout(["age"]))) == [
            {"prediction": "x"}
        ]

    def test_unless_that_is_said(self):
        outputs = Rows(1, {"age": [9], "prediction": ["x"]})
        assert rows(decode_sides(Rows(1), outputs, layout(["outputs.age"]))) == [
            {"outputs.age": 9, "prediction": "x"}
        ]

    def test_may_be_vectors(self):
        inputs = Rows(2, {"x.0": [1, 2], "x.1": [3, 4]})
        decoded = decode_sides(inputs, given=layout(["x", "x.1"]))
        assert [set(map(type, column.values)) for column in decoded.batch.fields.values()] == [
            {type(ABSENT)},
            {list},
            {int},
        ]
        assert not decoded.batch.extra


class TestDiscovery:
    def test_finds_inputs(self):
        decoded = decode_sides(TWO, SCORES)
        assert set(decoded.batch.fields) == {feature("age"), feature("plan"), PREDICTION}

    def test_leaves_out_what_is_used(self):
        inputs = Rows(1, {"age": [31], "id": [7], "label": ["x"], "host": ["h"], "": [1]})
        given = Layout(
            {PREDICTION: "prediction", LABEL: "label"},
            id="id",
            known=frozenset(["host"]),
            discover=True,
        )
        decoded = decode_sides(inputs, given=given)
        assert rows(decoded) == [{"id": "7", "age": 31, "label": "x"}]

    def test_leaves_out_vectors_and_bytes(self):
        inputs = Rows(2, {"a": [1, [2]], "b": [[1], [2]], "c": [b"\xff", b"\xfe"]})
        assert rows(decode_sides(inputs)) == [{"a": 1}]  # the other row has no field at all

    def test_has_an_end(self):
        inputs = Rows(1, {f"f{number}": [number] for number in range(2 * MOST_FEATURES)})
        assert len(decode_sides(inputs).batch.fields) == MOST_FEATURES + 1

    def test_of_what_comes_later(self):
        tabulator = Tabulator(layout())
        first = Invocation("i", None, None, Rows(2, {"a": [1, 2]}), NO_TABLE)
        second = Invocation("j", None, None, Rows(1, {"b": [3]}), NO_TABLE)
        rejected = {}
        decoded = tabulator.decode([first, second, first], rejected, 0)
        assert rows(decoded) == [{"a": 1}, {"a": 2}, {"b": 3}, {"a": 1}, {"a": 2}]


class TestPrediction:
    @pytest.mark.parametrize(
        ("outputs", "path", "expected"),
        [
            pytest.param(Rows(1, places=[["a"]]), "prediction", "a", id="a single value"),
            pytest.param(Rows(1, {"y": ["a"]}), "prediction", "a", id="the only output"),
            pytest.param(
                Rows(1, {"p.0": [0.2], "p.1": [0.8], "y": ["a"]}), "prediction", "a", id="no vector"
            ),
            pytest.param(Rows(1, {"y.5": ["a"]}), "prediction", "a", id="whatever its name"),
            pytest.param(Rows(1, {"y": ["a"], "z": ["b"]}), "z", "b", id="an output's name"),
            pytest.param(Rows(1, {"y": ["a"]}), "outputs.y", "a", id="a name and its side"),
            pytest.param(Rows(1, {"outputs.y": ["a"]}), "outputs.y", "a", id="as it is written"),
            pytest.param(Rows(1, places=[[0.1], [0.9]]), "prediction.1", 0.9, id="in a list"),
            pytest.param(Rows(1, {"p.0": [1], "p.1": [2]}), "p.1", 2, id="in a named list"),
            pytest.param(Rows(1, {"y": ["a"], "z": ["b"]}), "prediction", None, id="either"),
            pytest.param(Rows(1, places=[[1], [2]]), "prediction.2", None, id="beyond the list"),
            pytest.param(Rows(1, places=[[1], [2]]), "prediction.x", None, id="no number"),
            pytest.param(Rows(1, places=[[1], [2]]), "y", None, id="another name"),
        ],
    )
    def test_is_an_output(self, outputs, path, expected):
        decoded = decode_sides(Rows(1, {"age": [31]}), outputs, layout(prediction=path))
        assert rows(decoded)[0].get("prediction") == expected

    @pytest.mark.parametrize("path", ["prediction", "p", "outputs.p"])
    def test_may_be_a_list(self, path):
        outputs = Rows(2, {"p.0": [1, 2], "p.1": [3, 4]}, [[1, 2], [3, 4]])
        column = decode_sides(TWO, outputs, layout(prediction=path)).batch.fields[PREDICTION]
        assert column.types == {list}

    def test_is_an_input_if_that_is_said(self):
        given = layout(["age"], prediction="inputs.plan")
        assert rows(decode_sides(TWO, given=given))[0] == {"age": 31, "prediction": "a"}


class TestIds:
    @pytest.mark.parametrize(
        ("inputs", "outputs", "expected"),
        [
            (Rows(1, {"age": [1]}), NO_TABLE, ["i"]),
            (TWO, NO_TABLE, ["i/0", "i/1"]),
            (Rows(2, {"id": ["a", 7.0]}), SCORES, ["a", "7"]),
            (TWO, Rows(2, {"id": ["a", "b"], "prediction": [1, 2]}), ["a", "b"]),
            (TWO, Rows(2, places=[[1, 2]], about={"id": "m"}), ["m/0", "m/1"]),
        ],
    )
    def test_are_in_a_column_or_the_exchange_s(self, inputs, outputs, expected):
        assert decode_sides(inputs, outputs, layout(id="id")).batch.ids == expected

    def test_may_be_missing(self):
        decoded = decode_sides(TWO, given=layout(id="id"), id=None)
        assert (decoded.batch.rows, decoded.rejected) == (0, {"no_id": 2})


class TestTimes:
    @pytest.mark.parametrize("time", [1772366400.0, 1772366400000, "2026-03-01T12:00:00Z"])
    def test_are_the_exchange_s(self, time):
        assert decode_sides(TWO, time=time).batch.timestamps.tolist() == [1772366400.0] * 2

    def test_or_in_a_column(self):
        inputs = Rows(1, {"age": [1], "ts": ["2026-03-01"]})
        decoded = decode_sides(inputs, given=layout(timestamp="ts"), time=5.0)
        assert decoded.batch.timestamps.tolist() == [1772323200.0]

    def test_may_be_bad(self):
        assert decode_sides(TWO, time="noon").rejected == {"bad_timestamp": 2}


@pytest.mark.parametrize(
    ("inputs", "outputs", "version", "expected"),
    [
        (TWO, NO_TABLE, None, "unversioned"),
        (TWO, NO_TABLE, "3", "3"),
        (TWO, Rows(2, places=[[1, 2]], about={"model_version": "4"}), None, "4"),
        (TWO, Rows(2, places=[[1, 2]], about={"model_version": "4"}), "3", "3"),
        (TWO, Rows(2, places=[[1, 2]], about={"version": 5}), "3", "5"),
        (Rows(2, {"age": [1, 2], "version": ["6", "6"]}), NO_TABLE, "3", "6"),
    ],
)
def test_version(inputs, outputs, version, expected):
    decoded = decode_sides(inputs, outputs, layout(version="version"), version=version)
    assert decoded.batch.versions == [expected] * 2


class TestSides:
    def test_may_be_missing(self):
        assert rows(decode_sides(TWO)) == [{"age": 31, "plan": "a"}, {"age": 40, "plan": "b"}]
        assert rows(decode_sides(outputs=Rows(1, places=[["x"]]))) == [{"prediction": "x"}]

    @pytest.mark.parametrize(
        ("inputs", "outputs", "rejected"),
        [
            (NO_TABLE, NO_TABLE, {"unreadable": 1}),
            (TWO, Rows(3, places=[[1, 2, 3]]), {"ragged_row": 3}),
            (TWO, Rows(1, places=[[1]]), {"ragged_row": 2}),
            (TWO, Rows(0), {"ragged_row": 2}),
            (Rows(0), Rows(1, places=[[1]]), {"ragged_row": 1}),
        ],
    )
    def test_must_agree(self, inputs, outputs, rejected):
        decoded = decode_sides(inputs, outputs)
        assert (decoded.batch.rows, decoded.rejected) == (0, rejected)

    def test_may_both_be_empty(self):
        decoded = decode_sides(Rows(0), Rows(0))
        assert (decoded.batch.rows, decoded.rejected) == (0, {})

    def test_of_a_column_and_one_row_are_one_row_of_a_vector(self):
        inputs = Rows(3, {"x": [1, 2, 3]}, [[1, 2, 3]])
        given = layout(["a", "b", "c"])
        assert rows(decode_sides(inputs, Rows(1, places=[["y"]]), given)) == [
            {"a": 1, "b": 2, "c": 3, "prediction": "y"}
        ]
        outputs = Rows(2, places=[[0.1, 0.9]])
        given = layout(prediction="prediction.1")
        assert rows(decode_sides(Rows(1, {"age": [31]}), outputs, given)) == [
            {"age": 31, "prediction": 0.9}
        ]

    def test_of_a_vector_with_a_long_name_have_places_only(self):
        name = "x" * (LONGEST_PREFIX + 1)
        inputs = Rows(2, {name: [1, 2]}, [[1, 2]])
        decoded = decode_sides(inputs, Rows(1, places=[["y"]]), layout(["a", "b"]))
        assert rows(decoded) == [{"a": 1, "b": 2, "prediction": "y"}]
        assert not decoded.batch.extra


def test_unknown_inputs_are_extra_fields():
    tabulator = Tabulator(layout(["age"], known=["inputs.host"]))
    many = {f"n{number}": [number] for number in range(30)}
    one = Invocation(None, None, None, Rows(1, {"age": [31], "host": ["h"], "zip": [1]}), NO_TABLE)
    two = Invocation(None, None, None, Rows(1, {"age": [40], **many}), NO_TABLE)
    extra = tabulator.decode([one, two, one], {}, 0).batch.extra
    assert len(extra) == 21
    assert extra["zip"].tolist() == [True, False, True]
    assert extra["n18"].tolist() == extra["<other>"].tolist() == [False, True, False]


def test_shapes_may_alternate():
    given = layout(["age", "plan"])
    named = Invocation("n", None, None, TWO, SCORES)
    placed = Invocation("p", None, None, Rows(1, places=[[50], ["c"]]), Rows(1, {"y": ["no"]}))
    decoded = Tabulator(given).decode([named, placed] * 300, {}, 0)
    assert rows(decoded)[3:6] == rows(decoded)[-3:]
    assert rows(decoded)[-1] == {"age": 50, "plan": "c", "prediction": "no"}

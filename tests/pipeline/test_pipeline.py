"""From logs to counters, however the logs are cut, saved and read again."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml_exporter.baseline import baseline
from ml_exporter.commands.training import profile
from ml_exporter.sources import files
from ml_exporter.statistics import performance
from ml_exporter.store.store import Store
from tests.counting import NOW, Counting, samples

PLAIN = """\
models:
  - name: m
    task: binary
    positive: a
    source: {type: file, path: "log*.jsonl"}
    fields: {prediction: p, label: y, timestamp: t, features: [x]}
    learn: {rows: 50}
"""
DISCOVERING = """\
models:
  - name: m
    task: binary
    positive: a
    version: {field: v}
    source: {type: file, path: log.jsonl}
    fields: {prediction: p, label: y}
limits: {versions: 2}
"""
LABELLED = """\
models:
  - name: m
    task: binary
    positive: a
    version: {field: v}
    source: {type: file, path: log.jsonl}
    fields: {id: id, prediction: p, timestamp: t, features: [x]}
    labels:
      source: {type: file, path: labels.jsonl}
      fields: {id: id, label: y, timestamp: t}
"""
CSV = """\
models:
  - name: m
    task: binary
    positive: a
    source: {type: file, path: log.csv}
    fields: {prediction: p, label: y}
"""

Watch = Callable[..., Counting]
Steps = Sequence[tuple[int, str]]  # so many bytes of a log, and what happens then


@pytest.fixture(autouse=True)
def look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LOOK_AGAIN", 0.0)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """`watch(text)` counts what comes to the logs of a configuration, until the test ends."""
    with ExitStack() as ends:

        def watch(text: str, **changes: Any) -> Counting:
            counting = Counting(tmp_path, text, **changes)
            ends.callback(counting.close)
            return counting

        yield watch


@pytest.fixture
def plain(watch: Watch) -> Counting:
    return watch(PLAIN)


def rows(count: int, **values: Any) -> list[dict[str, Any]]:
    return [{"p": "a", "y": "a", "x": float(number)} | values for number in range(count)]


class TestSplitting:
    """A log gives the same counters, however it comes."""

    number = st.one_of(
        st.none(), st.integers(-3, 3), st.floats(-1, 1, width=16), st.just("bad"), st.just(True)
    )
    prediction = st.fixed_dictionaries(
        {"p": st.sampled_from(["a", "b", "c", None])},
        optional={
            "v": st.sampled_from(["1", "2", "3", "4", None]),
            "y": st.sampled_from(["a", "b", "d", None]),
            "x": number,
            "z": number,
            "nested": st.fixed_dictionaries({}, optional={"n": number}),
        },
    ).map(json.dumps)
    garbage = st.sampled_from(["", "{", "[1]", "null", '{"p": ', "\ufeff", '{"p": "a"} {"p": "b"}'])
    lines = st.lists(st.one_of(prediction, prediction, prediction, garbage), max_size=40)
    steps = st.lists(
        st.tuples(
            st.integers(1, 400), st.sampled_from(["count", "save", "start again", "save, start"])
        ),
        max_size=12,
    )

    def counters(
        self, text: str, logs: dict[str, bytes], steps: Steps, **changes: Any
    ) -> dict[str, float]:
        """What is counted of logs that are written bit by bit, by turns."""
        folder = Path(tempfile.mkdtemp())
        counting = Counting(folder, text, **changes)
        try:
            rest = dict(logs)
            for length, what in steps:
                for name, data in rest.items():
                    counting.append(name, data[:length])
                    rest[name] = data[length:]
                counting.count()
                counting.now += 10
                if "save" in what:
                    counting.save()
                if "start" in what:
                    counting.start_again()
            for name, data in rest.items():
                counting.append(name, data)
            counting.count()
            counting.pipeline.finish()
            return counting.counters()
        finally:
            counting.close()
            shutil.rmtree(folder)

    @settings(max_examples=150)
    @given(lines, steps, st.integers(1, 12))
    def test_of_a_log_whose_features_are_discovered(
        self, lines: list[str], steps: Steps, learn: int
    ) -> None:
        logs = {"log.jsonl": "".join(f"{line}\n" for line in lines).encode()}
        whole = self.counters(DISCOVERING, logs, [], learn_rows=learn)
        assert self.counters(DISCOVERING, logs, steps, learn_rows=learn) == whole

    @settings(max_examples=60)
    @given(
        st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["a", "b", ""]), number)),
        steps,
        st.integers(1, 12),
    )
    def test_of_a_table(self, table: list[Any], steps: Steps, learn: int) -> None:
        lines = ["p,y,x", *(f"{p},{y},{'' if x is None else x}" for p, y, x in table)]
        logs = {"log.csv": "".join(f"{line}\n" for line in lines).encode()}
        whole = self.counters(CSV, logs, [], learn_rows=learn)
        assert self.counters(CSV, logs, steps, learn_rows=learn) == whole

    @settings(max_examples=100)
    @given(
        st.lists(st.tuples(st.integers(0, 15), st.sampled_from("ab"), st.sampled_from("12"))),
        st.lists(st.tuples(st.integers(0, 15), st.sampled_from("ab"), st.integers(0, 600))),
        steps,
    )
    def test_of_a_log_and_its_labels(
        self, predictions: list[Any], labels: list[Any], steps: Steps
    ) -> None:
        logs = {
            "log.jsonl": [
                {"id": id, "p": p, "v": v, "x": id, "t": NOW - 1000 + number}
                for number, (id, p, v) in enumerate(predictions)
            ],
            "labels.jsonl": [
                {"id": id, "y": y, "t": NOW - 1000 + delay} for id, y, delay in labels
            ],
        }
        data = {name: lines_of(rows) for name, rows in logs.items()}
        whole = self.counters(LABELLED, data, [], learn_rows=5)
        assert self.counters(LABELLED, data, steps, learn_rows=5) == whole


def lines_of(rows: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class TestLearning:
    def test_takes_exactly_so_many_rows(self, plain: Counting) -> None:
        plain.append("log.jsonl", *rows(49))
        plain.count()
        assert plain.pipeline.baselines == {}
        assert plain.value("ml_baseline_info", state="learning", baseline_id="") == 1
        plain.append("log.jsonl", *rows(3, x=7.0))
        plain.count()
        (learned,) = plain.pipeline.baselines.values()
        assert learned.rows == 50
        assert plain.value("ml_baseline_info", state="learned", baseline_id=learned.id) == 1
        assert plain.value("ml_predictions_total") == 52
        assert plain.value("ml_outcomes_total") == 52
        for key in ("x", "prediction"):
            assert plain.value("ml_field_values_total", field=key) == 2, key
        assert plain.value("ml_field_baseline_rows", field="x") == 50

    def test_goes_on_after_a_restart_in_the_middle_of_a_chunk(self, plain: Counting) -> None:
        plain.append("log.jsonl", *rows(80))
        while plain.value("ml_predictions_total") != 50:
            plain.pipeline.step(births_wait=False)
        plain.save()
        plain.start_again()
        plain.append("log.jsonl", *rows(20))
        plain.count()
        assert plain.value("ml_predictions_total") == 100
        assert plain.value("ml_field_values_total", field="x") == 50

    def test_is_of_each_version_by_itself(self, watch: Watch) -> None:
        counting = watch(DISCOVERING, learn_rows=3)
        counting.append("log.jsonl", *({"p": "a", "v": v, "x": 1} for v in "1212112"))
        counting.count()
        assert {name: one.rows for name, one in counting.pipeline.baselines.items()} == {
            "1": 3,
            "2": 3,
        }
        assert counting.value("ml_field_values_total", version="1", field="x") == 1
        assert counting.value("ml_field_values_total", version="2", field="x") == 0

    def test_of_discovered_features_ends_the_discovery(self, watch: Watch) -> None:
        counting = watch(DISCOVERING, learn_rows=3)
        late = {"p": "a", "x": 1, "new": 1}
        counting.append("log.jsonl", *[{"p": "a", "x": 1}] * 3, late, late)
        counting.count()
        (learned,) = counting.pipeline.baselines.values()
        assert [field.name for field in learned.fields] == ["prediction", "x"]
        assert counting.value("ml_schema_violations_total", field="new") == 2

    def test_of_a_later_version_is_of_the_fields_that_are_read(self, watch: Watch) -> None:
        counting = watch(DISCOVERING, learn_rows=2)
        counting.append(
            "log.jsonl",
            {"p": "a", "v": "2", "x": 1, "only2": 1},
            *[{"p": "a", "v": "1", "x": 1}] * 2,
            *[{"p": "a", "v": "2", "x": 1, "only2": 1}] * 2,
        )
        counting.count()
        fields = {field.name for field in counting.pipeline.baselines["2"].fields}
        assert "only2" not in fields
        assert counting.value("ml_schema_violations_total", field="only2") == 1

    def test_ends_where_fewer_rows_are_wanted_after_a_restart(self, plain: Counting) -> None:
        plain.append("log.jsonl", *rows(40))
        plain.count()
        plain.save()
        plain.model = replace(plain.model, learn_rows=20)
        plain.start_again()
        plain.append("log.jsonl", *rows(10))
        plain.count()
        assert plain.pipeline.baselines
        assert plain.value("ml_field_values_total", field="x") == 9


class TestVersions:
    def test_beyond_the_limit_are_counted_together(self, watch: Watch) -> None:
        counting = watch(DISCOVERING)
        counting.append("log.jsonl", *({"p": "a", "y": "a", "v": v} for v in "1234152"))
        counting.count()
        assert counting.counters("ml_predictions") == {
            'ml_predictions_total{version="1"}': 2,
            'ml_predictions_total{version="2"}': 2,
            'ml_predictions_total{version="<other>"}': 3,
        }
        assert counting.value("ml_outcomes_total", version="<other>", correct="true") == 3

    def test_are_restored_in_their_order(self, tmp_path: Path, watch: Watch) -> None:
        text = DISCOVERING.replace("fields: {", "baseline: b.json\n    fields: {")
        (tmp_path / "data.jsonl").write_bytes(lines_of(rows(20)))
        make_baseline(tmp_path, text)
        counting = watch(text)
        counting.append("log.jsonl", *({"p": "a", "y": "a", "v": v, "x": 1} for v in "9123"))
        counting.count()
        before = counting.counters()
        assert before['ml_predictions_total{version="<other>"}'] == 2
        counting.save()
        counting.start_again()
        assert counting.counters() == before
        counting.append("log.jsonl", {"p": "a", "y": "a", "v": "5", "x": 1})
        counting.count()
        assert counting.value("ml_predictions_total", version="<other>") == 3

    def test_that_have_no_rows_for_a_week_are_withdrawn(self, watch: Watch) -> None:
        counting = watch(DISCOVERING, learn_rows=2)
        counting.append("log.jsonl", *({"p": "a", "y": "a", "v": v, "x": 1} for v in "1122"))
        counting.count()
        counting.now += 6 * 86400
        counting.append("log.jsonl", {"p": "a", "y": "a", "v": "2", "x": 1})
        counting.count()
        counting.now += 2 * 86400
        counting.count()
        for _ in range(2):
            assert {f.label_sets[0][1] for f in counting.families if f.name == PREDICTIONS} == {"2"}
            assert set(counting.pipeline.baselines) == {"2"}
            counting.save()
            counting.start_again()
        counting.append("log.jsonl", {"p": "a", "y": "a", "v": "3", "x": 1})
        counting.count()
        assert counting.value(PREDICTIONS, version="3") == 1

    def test_that_are_configured_are_never_withdrawn(self, plain: Counting) -> None:
        plain.count()
        plain.now += 30 * 86400
        plain.count()
        assert len([f for f in plain.families if f.name == PREDICTIONS]) == 1


PREDICTIONS = "ml_predictions_total"


class TestBirths:
    """New series are seen at 0 before rows are counted in them."""

    @pytest.mark.parametrize(
        ("config", "before", "new"),
        [
            (PLAIN, [], {"p": "b", "y": "a", "x": 1}),
            (PLAIN, rows(60), {"p": "a", "y": "c", "x": 1}),
            (PLAIN, rows(60), {"p": "a", "x": 1, "extra": 1}),
            (DISCOVERING, rows(1, v="1"), {"p": "a", "x": 1, "v": "2"}),
            (LABELLED, [{"id": 1, "p": "a", "v": "1"}], {"id": 2, "p": "a", "v": "2"}),
        ],
        ids=["class", "class after learning", "extra field", "version", "version with labels"],
    )
    def test_of(self, watch: Watch, config: str, before: list[Any], new: Any) -> None:
        counting = watch(config)
        counting.append("log.jsonl", *before)
        counting.count()
        seen = counting.counters()
        counting.append("log.jsonl", new, new)
        assert counting.pipeline.step(births_wait=True) == "born"
        assert counting.counters() == seen
        assert counting.pipeline.pending() == sum("id" in row for row in before)
        assert counting.pipeline.step(births_wait=True) == "counted"
        rows_now = sum(counting.counters(PREDICTIONS).values())
        assert rows_now == len(before) + 2
        assert counting.pipeline.step(births_wait=True) == "idle"

    def test_of_a_learned_baseline_come_after_its_rows(self, plain: Counting) -> None:
        plain.append("log.jsonl", *rows(60))
        assert plain.pipeline.step(births_wait=True) == "born"
        assert plain.value("ml_field_values_total") == 0
        assert plain.value(PREDICTIONS) == 50
        assert plain.pipeline.baselines
        assert plain.pipeline.step(births_wait=True) == "counted"
        assert plain.value("ml_field_values_total", field="x") == 10

    def test_do_not_make_rows_repeat_their_own_values(self, watch: Watch) -> None:
        counting = watch(PLAIN + "    constraints: {x: {unique: true}}\n")
        counting.append("log.jsonl", *rows(5))
        counting.count()
        counting.append("log.jsonl", *rows(7, y="new"))
        assert counting.pipeline.step(births_wait=True) == "born"
        assert counting.pipeline.step(births_wait=True) == "counted"
        assert counting.value("ml_constraint_violations_total", constraint="unique") == 5

    def test_may_wait_over_a_restart(self, plain: Counting) -> None:
        plain.append("log.jsonl", *rows(1))
        plain.count()
        plain.append("log.jsonl", *rows(3, y="new"))
        assert plain.pipeline.step(births_wait=True) == "born"
        plain.save()
        plain.start_again()
        assert plain.value("ml_outcomes_total", actual="new") == 0
        assert "new" in str([f.label_sets for f in plain.families if f.name == "ml_outcomes_total"])
        assert plain.pipeline.step(births_wait=True) == "counted"
        assert plain.value("ml_outcomes_total", actual="new") == 3

    def test_of_a_label_leave_it_to_be_joined_later(self, watch: Watch) -> None:
        counting = watch(LABELLED)
        counting.append("log.jsonl", {"id": 1, "p": "a", "t": NOW})
        counting.count()
        counting.append("labels.jsonl", {"id": 1, "y": "new", "t": NOW})
        assert counting.pipeline.step(births_wait=True) == "born"
        assert counting.pipeline.pending() == 1
        assert counting.counters("ml_labels") == {}
        assert counting.pipeline.step(births_wait=True) == "counted"
        assert counting.pipeline.pending() == 0
        assert counting.value("ml_outcomes_total", actual="new", predicted="a") == 1


class TestLabels:
    def test_that_are_there_and_unread_are_not_late(self, watch: Watch) -> None:
        """A prediction log is read ahead of its labels' for a while: nothing expires meanwhile."""
        counting = watch(LABELLED)
        day = 86400
        counting.append("log.jsonl", *({"id": n, "p": "a", "t": NOW - n * day} for n in range(90)))
        counting.append("labels.jsonl", *({"id": n, "y": "a"} for n in range(90)))
        for _ in range(3):
            counting.pipeline.step(births_wait=False)
            counting.now += 10
        counting.count()
        assert counting.counters("ml_labels") == {
            'ml_labels_total{version="unversioned",result="joined"}': 90
        }
        assert counting.value("ml_predictions_expired_total") == 0

    def test_that_never_come_are_given_up_in_time(self, watch: Watch) -> None:
        counting = watch(LABELLED)
        counting.append("log.jsonl", {"id": 1, "p": "a", "t": NOW - 31 * 86400})
        counting.append("log.jsonl", {"id": 2, "p": "a", "t": NOW})
        counting.append("labels.jsonl", {"id": 3, "y": "a", "t": NOW - 3601})
        counting.count()
        counting.now += 10
        counting.append("log.jsonl", {"id": 4, "p": "a", "t": NOW + 2})
        counting.count()
        assert counting.value("ml_predictions_expired_total") == 1
        assert counting.pipeline.pending() == 2

    def test_are_of_each_version_that_predicted(self, watch: Watch) -> None:
        """A challenger gets its champion's requests, and answers some of them later."""
        counting = watch(LABELLED, learn_rows=5)
        champion = [{"id": n, "v": "1", "p": "a", "t": NOW} for n in range(90)]
        challenger = [{"id": n, "v": "2", "p": "b", "t": NOW + 60} for n in range(90)]
        both = [row for rows in zip(champion, challenger, strict=True) for row in rows]
        counting.append("labels.jsonl", *({"id": n, "y": "a", "t": NOW} for n in range(30)))
        counting.count()
        counting.append("log.jsonl", *both[:120], *champion[60:])
        counting.count()
        counting.save()
        counting.start_again()
        counting.append("labels.jsonl", *({"id": n, "y": "a", "t": NOW} for n in range(30, 90)))
        counting.count()
        counting.append("log.jsonl", *challenger[60:], *both[:10])
        counting.count()
        assert counting.counters("ml_outcomes") == {
            'ml_outcomes_total{version="1",actual="a",predicted="a",correct="true"}': 90,
            'ml_outcomes_total{version="2",actual="a",predicted="b",correct="false"}': 90,
        }
        assert counting.counters("ml_labels") == {
            'ml_labels_total{version="unversioned",result="joined"}': 90
        }
        assert counting.value("ml_duplicate_predictions_total") == 10
        assert counting.pipeline.pending() == 0

    def test_null_is_none(self, watch: Watch) -> None:
        counting = watch(LABELLED)
        counting.append("log.jsonl", {"id": 1, "p": "a"})
        counting.append("labels.jsonl", {"id": 1, "y": None}, {"id": 1, "y": "b"})
        counting.count()
        assert counting.value("ml_outcomes_total", actual="b", predicted="a") == 1
        assert counting.counters("ml_rows") == {
            'ml_rows_rejected_total{version="unversioned",reason="no_fields"}': 1
        }

    def test_of_an_old_log_are_read_after_its_predictions(self, watch: Watch) -> None:
        counting = watch(LABELLED, follow=False)
        count = 30_000  # more than a chunk
        counting.append("labels.jsonl", *({"id": n, "y": "a", "t": 1e9} for n in range(count)))
        counting.append("log.jsonl", *({"id": n, "p": "a", "t": 1e9} for n in range(count)))
        counting.count()
        counting.pipeline.finish()
        assert counting.counters("ml_labels") == {
            'ml_labels_total{version="unversioned",result="joined"}': count
        }
        assert counting.value("ml_label_delay_seconds", le="1.0") == count


class TestBadFiles:
    def test_every_good_row_is_counted(self, plain: Counting) -> None:
        good = {"p": "a", "y": "a", "x": 1}
        plain.append(
            "log.jsonl",
            good,
            b'{"p": "a", "x": "\xff"}\n',
            "{broken\n",
            "[" * 100_000 + "\n",
            '{"q": 1}\n',
            '{"p": "a", "t": "yesterday"}\n',
            f'{{"p": "{"x" * (2 << 20)}"}}\n',
            '{"p": "a", "x": NaN}\n',
            '{"p": "a", "p": "b", "x": Infinity}\n',
            good,
        )
        plain.count()
        assert plain.value(PREDICTIONS) == 4
        rejected = {
            sample.split('reason="')[1].rstrip('"}'): count
            for sample, count in plain.counters("ml_rows_rejected").items()
        }
        assert rejected == {
            "encoding": 1,
            "malformed": 1,
            "too_deep": 1,
            "no_fields": 1,
            "bad_timestamp": 1,
            "too_large": 1,
        }

    def test_a_line_longer_than_a_chunk_does_not_end_the_reading(self, watch: Watch) -> None:
        counting = watch(PLAIN, follow=False)
        counting.append("log.jsonl", {"p": "a", "x": "y" * 700_000}, *rows(3))
        counting.append("log2.jsonl", "z" * (5 << 20), "\n", *rows(4))
        counting.count()
        assert counting.value(PREDICTIONS) == 8
        assert counting.value("ml_rows_rejected_total", reason="too_large") == 1

    def test_a_header_that_can_not_be_read_costs_that_file_alone(
        self, tmp_path: Path, watch: Watch
    ) -> None:
        text = CSV.replace("log.csv", '"*.csv"')
        counting = watch(text, follow=False)
        counting.append("a.csv", "p,p\na,a\n")
        counting.append("b.csv", "p,y\na,a\n")
        counting.count()
        assert counting.value(PREDICTIONS) == 1
        assert counting.value("ml_rows_rejected_total", reason="unreadable") == 1
        assert counting.pipeline.errors == {
            f"{tmp_path}/a.csv": "column 'p' occurs twice in the header"
        }

    def test_a_last_line_without_an_end(self, watch: Watch) -> None:
        counting = watch(PLAIN, follow=False)
        counting.append("log1.jsonl", '{"p": "a"}')
        counting.append("log2.jsonl", '{"p": "a"')
        counting.count()
        assert counting.value(PREDICTIONS) == 1
        assert counting.value("ml_rows_rejected_total", reason="truncated") == 1


class TestPositions:
    def test_of_files_begun_at_their_end_are_kept(self, watch: Watch) -> None:
        text = PLAIN.replace('"log*.jsonl"}', '"log*.jsonl", from: end}')
        counting = watch(text)
        counting.append("log1.jsonl", *rows(5))
        counting.pipeline.open()
        counting.save()
        counting.pipeline.close()
        counting.append("log1.jsonl", *rows(3))
        counting.append("log2.jsonl", *rows(4))  # nobody looked when it came
        counting.start_again()
        counting.count()
        assert counting.value(PREDICTIONS) == 7

    def test_of_csv_files_know_their_header(self, watch: Watch) -> None:
        counting = watch(CSV)
        counting.append("log.csv", "y,p\na,b\n")
        counting.count()
        counting.save()
        counting.append("log.csv", "b,a\n")
        counting.start_again()
        counting.count()
        assert counting.value("ml_outcomes_total", actual="a", predicted="b") == 1
        assert counting.value("ml_outcomes_total", actual="b", predicted="a") == 1

    def test_are_saved_together_with_what_was_counted(self, plain: Counting) -> None:
        plain.append("log.jsonl", *rows(5))
        plain.count()
        plain.start_again()  # nothing was saved
        assert plain.value(PREDICTIONS) == 0
        plain.count()
        assert plain.value(PREDICTIONS) == 5
        plain.save()
        plain.start_again()
        plain.count()
        assert plain.value(PREDICTIONS) == 5


class TestIdle:
    def test_nothing_is_written_while_nothing_comes(self, watch: Watch) -> None:
        counting = watch(LABELLED)
        counting.append("log.jsonl", {"id": 1, "p": "a", "t": NOW})
        counting.append("labels.jsonl", {"id": 1, "y": "a", "t": NOW})
        counting.count()
        counting.save()
        for _ in range(3):
            counting.now += 10
            assert counting.pipeline.step(births_wait=True) == "idle"
            assert not counting.pipeline.dirty

    def test_lag_is_what_is_not_counted_yet(self, plain: Counting) -> None:
        plain.append("log.jsonl", {"p": "a"}, '{"p":')
        plain.count()
        plain.now += 5
        plain.pipeline.measure_lag()
        assert plain.value("ml_source_lag_bytes") == len('{"p":')
        plain.append("log.jsonl", ' "a"}\n')
        plain.count()
        plain.pipeline.measure_lag()
        assert plain.value("ml_source_lag_bytes") == 0
        assert plain.value("ml_source_lag_seconds") == 0


@pytest.fixture(params=["binary", "multiclass"])
def real(request: pytest.FixtureRequest) -> tuple[str, list[str], Any, Any, list[str], list[str]]:
    """A model fitted on one half of a real data set, and its predictions of the other."""
    data = load_breast_cancer() if request.param == "binary" else load_wine()
    names = [str(data.target_names[number]) for number in data.target]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.001))
    features = data.data[:, :5]
    model.fit(features[::2], names[::2])
    predicted = [str(name) for name in model.predict(features)]
    return request.param, list(data.feature_names)[:5], features, model, names, predicted


class TestRealData:
    @pytest.mark.parametrize("labels", ["on the row", "apart"])
    def test_every_figure_is_that_of_scikit_learn(
        self, tmp_path: Path, watch: Watch, real: Any, labels: str
    ) -> None:
        task, columns, features, _, actual, predicted = real
        text = config_of(task, labels)
        records = [
            dict(zip(columns, values, strict=True)) | {"id": number, "p": p}
            for number, (values, p) in enumerate(zip(features.tolist(), predicted, strict=True))
        ]
        with_labels = [row | {"y": y} for row, y in zip(records, actual, strict=True)]
        (tmp_path / "data.jsonl").write_bytes(lines_of(with_labels[::2]))
        make_baseline(tmp_path, text)
        counting = watch(text)
        if labels == "apart":
            counting.append("labels.jsonl", *({"id": r["id"], "y": r["y"]} for r in with_labels))
            counting.append("log.jsonl", *records)
        else:
            counting.append("log.jsonl", *with_labels)
        counting.count()

        classes = sorted(set(actual))
        confusion = np.array(
            [
                [counting.value("ml_outcomes_total", actual=a, predicted=p) for p in classes]
                for a in classes
            ]
        )
        assert confusion.tolist() == confusion_matrix(actual, predicted, labels=classes).tolist()
        assert counting.value("ml_labelled_predictions_total") == len(actual)
        right = counting.value("ml_outcomes_total", correct="true") / len(actual)
        assert right == accuracy_score(actual, predicted)

        positive = counting.model.positive
        figures = performance.figures(confusion, classes, positive)
        average = {"average": "binary", "pos_label": positive} if positive else {"average": "macro"}
        precision, recall, f1, _ = precision_recall_fscore_support(
            actual, predicted, zero_division=0, **average
        )
        expected = {"accuracy": right, "precision": precision, "recall": recall, "f1": f1}
        for metric, value in expected.items():
            assert figures[metric] == pytest.approx(value, abs=1e-12), metric
        of_baseline = accuracy_score(actual[::2], predicted[::2])
        assert counting.value("ml_baseline_performance", metric="accuracy") == pytest.approx(
            of_baseline, abs=1e-12
        )
        # Every value lands in exactly one bin.
        for column in columns:
            assert counting.value("ml_field_values_total", field=column) == len(actual)


def config_of(task: str, labels: str) -> str:
    apart = """\
    labels:
      source: {type: file, path: labels.jsonl}
      fields: {id: id, label: y}
"""
    return f"""\
models:
  - name: m
    task: {task}
    baseline: b.json
    {"positive: malignant" if task == "binary" else ""}
    source: {{type: file, path: log.jsonl}}
    fields: {{id: id, prediction: p{"" if labels == "apart" else ", label: y"}}}
{apart if labels == "apart" else ""}"""


def make_baseline(folder: Path, text: str) -> None:
    """Profile data.jsonl into the file that the configuration names."""
    (folder / "b.json").touch()
    (folder / "ml-exporter.yml").write_text(text)
    from ml_exporter.config.config import load

    config = load(folder / "ml-exporter.yml")
    made, _ = profile(config.models[0], config.limits, str(folder / "data.jsonl"), "jsonl")
    (folder / "b.json").write_bytes(baseline.encode(made))


def test_a_store_serves_several_models(watch: Watch) -> None:
    store = Store(None)
    one = watch(PLAIN, store=store)
    other = watch(PLAIN.replace("name: m", "name: n"), store=store)
    one.append("log.jsonl", *rows(3))
    for counting in (one, other):
        counting.count()
        counting.pipeline.save()
    store.commit()
    assert [c.value(PREDICTIONS) for c in (one, other)] == [3, 3]
    other.start_again()
    assert other.value(PREDICTIONS) == 3


def test_samples_are_as_they_are_written(plain: Counting) -> None:
    (family,) = (family for family in plain.families if family.name == PREDICTIONS)
    assert samples(family) == {'ml_predictions_total{version="unversioned"}': 0}

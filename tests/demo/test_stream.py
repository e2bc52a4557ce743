import json
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml_exporter.config import config
from ml_exporter.demo.flights import CLASSES, FEATURES, stretches
from ml_exporter.demo.stream import RollingLog, stream, write_folder, write_log
from tests.support import wait_until

START = datetime(2026, 1, 5, 8, tzinfo=UTC)


def rows(*paths: Path) -> list[dict]:
    """The complete lines of JSON Lines files."""
    texts = [path.read_text() for path in sorted(paths)]
    return [json.loads(line) for text in texts for line in text.split("\n")[:-1] if line]


def test_first_row_of_a_log(tmp_path):
    write_log(tmp_path / "log.jsonl", tmp_path / "labels.jsonl", 1, start=START)
    assert rows(tmp_path / "log.jsonl") == [
        {
            "request_id": "20260105T080000-00000000",
            "ts": "2026-01-05T08:00:00.000+00:00",
            "inputs": {
                "dep_delay": 60.0,
                "hour": 16,
                "distance": 427,
                "seats": 95.0,
                "plane_age": 5.0,
                "temp": 46.94,
                "humid": 36.85,
                "wind_speed": 8.05546,
                "precip": 0.0,
                "pressure": 1015.2,
                "visib": 10.0,
                "carrier": "9E",
                "origin": "JFK",
                "dest": "RDU",
            },
            "output": {"arrival": "late", "probability": pytest.approx(0.987, abs=0.01)},
        }
    ]
    assert rows(tmp_path / "labels.jsonl") == [
        {"request_id": "20260105T080000-00000000", "arrival": "late"}
    ]


def test_same_arguments_write_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        log, labels = tmp_path / f"{name}.jsonl", tmp_path / f"{name}-labels.jsonl"
        write_log(log, labels, 500, start=START)
        write_log(log, labels, 500, first=500, drifted=True, start=START)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (tmp_path / "a-labels.jsonl").read_bytes() == (tmp_path / "b-labels.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("drifted", "accuracy", "missing"), [(False, 0.9, 0), (True, 0.76, 1000)], ids=["calm", "storm"]
)
def test_labels_join_by_id(tmp_path, drifted, accuracy, missing):
    write_log(tmp_path / "log.jsonl", tmp_path / "labels.jsonl", 2000, drifted=drifted)
    predicted = {
        row["request_id"]: row["output"]["arrival"] for row in rows(tmp_path / "log.jsonl")
    }
    actual = {row["request_id"]: row["arrival"] for row in rows(tmp_path / "labels.jsonl")}
    assert predicted.keys() == actual.keys()
    assert len(predicted) == 2000
    correct = sum(predicted[identity] == actual[identity] for identity in predicted)
    assert correct / 2000 == pytest.approx(accuracy, abs=0.03)
    nulls = sum(row["inputs"]["dep_delay"] is None for row in rows(tmp_path / "log.jsonl"))
    assert nulls == pytest.approx(missing, abs=100)


def test_log_longer_than_the_flights_begins_again(tmp_path):
    flights = stretches().stormy
    write_log(tmp_path / "log", tmp_path / "labels", 2, first=len(flights) - 1, drifted=True)
    assert [row["inputs"] for row in rows(tmp_path / "log")] == [
        flights.inputs[-1],
        flights.inputs[0],
    ]


def test_folder_has_all_that_a_baseline_needs(tmp_path):
    configuration = write_folder(tmp_path / "demo")
    assert configuration == tmp_path / "demo/ml-exporter.yml"
    training = rows(tmp_path / "demo/training.jsonl")
    assert len({row["request_id"] for row in training}) == len(training) == 20_000
    assert tuple(training[0]["inputs"]) == FEATURES
    assert {row["arrival"] for row in training} == set(CLASSES)
    assert (tmp_path / "demo/logs").is_dir()
    (model,) = config.load(configuration).models
    assert tuple(model.fields.features) == FEATURES


def test_stream_drifts_and_labels_follow(tmp_path):
    stop = threading.Event()
    arguments = {"rate": 2000, "drift_after": 1, "label_delay": (0.1, 0.3)}
    writer = threading.Thread(target=stream, args=(tmp_path, stop), kwargs=arguments)
    writer.start()

    def nulls() -> list[bool]:
        return [row["inputs"]["dep_delay"] is None for row in rows(*tmp_path.glob("pred*"))]

    wait_until(lambda: list(tmp_path.glob("pred*")) and sum(nulls()) > 200)
    stop.set()
    writer.join()

    drift = nulls().index(True)
    assert drift > 0
    assert sum(nulls()[drift:]) / len(nulls()[drift:]) == pytest.approx(0.5, abs=0.1)
    predictions, labels = rows(*tmp_path.glob("pred*")), rows(*tmp_path.glob("arr*"))
    asked = Counter(row["request_id"] for row in predictions)
    labelled = Counter(row["request_id"] for row in labels)
    assert set(asked.values()) == set(labelled.values()) == {1}
    assert labelled.keys() < asked.keys()
    assert list(asked) == sorted(asked)


def test_only_the_newest_files_are_kept(tmp_path):
    log = RollingLog(tmp_path, "log", rows=2, keep=2)
    for number in range(5):
        log.write([f"{number}\n", f"{number}\n"])
    log.close()
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["3\n3\n", "4\n4\n"]

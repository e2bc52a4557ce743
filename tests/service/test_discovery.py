import json
from collections.abc import Iterator, Sequence

import pytest

from ml_exporter.capture import Capture, write_frame
from ml_exporter.config.config import Model
from ml_exporter.service.discovery import Discovery
from ml_exporter.sources.capture import Attachment


class Proxy:
    """What the proxy wrote."""

    def __init__(self) -> None:
        self.capture = Capture.create(8 << 20)
        self.attachment = Attachment(self.capture)
        self.now = 100.0
        self.discovery = Discovery(self.attachment, lambda: self.now)

    def answers(self, name: str, *predictions: object) -> None:
        place = self.capture.counts.place(name)
        for prediction in predictions:
            frame = write_frame(
                *(place, 200, 0.0, 0.0, 0.0, 0.0, b"POST /v1/models/m:predict HTTP/1.1\r\n\r\n"),
                b'{"instances": [{"age": 41}]}',
                b"HTTP/1.1 200 OK\r\n\r\n",
                json.dumps({"predictions": [prediction]}).encode(),
            )
            assert self.capture.put(frame)

    def found(self, known: Sequence[Model] = (), after: float = 1.0) -> dict[str, str]:
        self.now += after
        return {model.name: model.task for model in self.discovery.look(known)}


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.capture.close()


@pytest.mark.parametrize(
    ("predictions", "task"),
    [
        ([0, 1], "multiclass"),
        (["setosa", "virginica"], "multiclass"),
        ([True, False], "multiclass"),
        ([3, "three"], "multiclass"),
        ([0.25, 1], "regression"),
        (range(30), "regression"),
        (range(20), "multiclass"),
        ([1.0, 2.0], "multiclass"),
    ],
)
def test_a_task_is_told_by_what_is_predicted(
    predictions: Sequence[object], task: str, proxy: Proxy
) -> None:
    proxy.answers("m", *[predictions[n % len(predictions)] for n in range(100)])
    assert proxy.found() == {"m": task}


def test_few_rows_are_enough_after_a_while(proxy: Proxy) -> None:
    proxy.answers("m", *[1] * 99)
    assert proxy.found() == {}
    assert proxy.found(after=20) == {}
    assert proxy.found(after=20) == {"m": "multiclass"}


def test_models_are_found_apart_and_once(proxy: Proxy) -> None:
    proxy.answers("a", *[1] * 100)
    proxy.answers("b", *[0.5] * 100)
    proxy.now += 1
    models = proxy.discovery.look([])
    assert [model.name for model in models] == ["a", "b"]
    assert proxy.found(models) == {}


def test_it_isn_t_looked_all_the_time(proxy: Proxy) -> None:
    proxy.answers("a", *[1] * 100)
    assert proxy.found()
    assert proxy.found(after=0.5) == {}


def test_rows_that_tell_nothing_are_no_model(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.answers("a", *[None] * 200)
    assert proxy.found() == {}
    assert not caplog.records
    assert proxy.found(after=40) == {}
    assert proxy.found(after=40) == {}
    (record,) = caplog.records
    assert record.message.startswith("what a model predicts can't be told")
    assert vars(record)["model"] == "a"


def test_exchanges_of_a_model_that_is_not_known_yet_are_kept(proxy: Proxy) -> None:
    proxy.answers("a", *[1] * 50)
    proxy.found()
    proxy.attachment.release()
    assert proxy.capture.read_to == 0
    proxy.answers("a", *[1] * 50)
    assert proxy.found() == {"a": "multiclass"}


def test_what_is_known_is_not_held_up(proxy: Proxy) -> None:
    proxy.answers("a", *[1] * 100)
    proxy.now += 1
    models = proxy.discovery.look([])
    proxy.found(models)
    proxy.attachment.release()
    assert proxy.capture.read_to == proxy.capture.written

"""An application that observes all that can be observed, and says what was counted.

test_light.py runs it, with a folder for its files. The first line that it prints are the libraries
that it took.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from ml_exporter import Monitor
from ml_exporter.baseline.baseline import Request, encode
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.client import MonitorWsgiMiddleware
from ml_exporter.columns import Column

ROWS = 120
START = 1_790_000_000.0  # seconds since 1970
SAGEMAKER = Path(__file__).parents[2] / "examples/sagemaker/baseline/statistics.json"
BINARY: dict[str, Any] = {"task": "binary", "positive": "1", "first_scrape_wait": 0}


class Tier(Enum):
    FREE, PAID = "free", "paid"


# Values that JSON doesn't know, or that it can't write.
ODD = (
    *(1, 2.5, True, None, "", "text", "null", "é\n\"'\\", "\ud800", 10**30, 1e-7, -0.0),
    *(math.nan, math.inf, np.float32("nan"), np.float64(0.1), np.int64(3), np.bool_(True)),
    *(np.str_("a"), np.datetime64("2026-03-01"), np.array([1.0, math.nan]), object()),
    *(Decimal("1.50"), Decimal("1E+3"), Decimal("NaN"), date(2026, 3, 1), UUID(int=1)),
    *(datetime(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=-1, seconds=0.25)),
    *(b"bytes", {1}, Tier.FREE, [1, {"a": [None]}], {"a": {1: 2.5}}, {"a": Tier.PAID}, (1, "x")),
    *([[[]]] * 3, {"deep": [{"er": math.nan}]}, "x" * 300, "1.0", range(3), 1 + 2j),
)


def main(folder: Path) -> None:
    shown = [
        *counted(odd_values(), *with_baselines(folder), requests()),
        *counted(everything(folder / "alone")),
        *counted(of_two_processes(folder / "shared")),
    ]
    roots = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
    print(*sorted(root for root in roots if root[0] != "_"))
    print(*shown, sep="\n")


def counted(monitor: Monitor, *others: Monitor) -> Iterator[str]:
    """What is shown of Monitors of one state once all is counted; then they are closed."""
    registry = CollectorRegistry()
    monitor.register(registry)
    before: list[str] = []
    while True:
        monitor.flush()
        time.sleep(1.2)  # it is committed each second
        now = [*stable(generate_latest(registry).decode())]
        if now and now == before:
            break
        before = now
    for one in (monitor, *others):
        one.close()
    yield from now


def stable(text: str) -> Iterator[str]:
    """The samples that are the same another day, rounded, as batches may end elsewhere."""
    others = ("#", "ml_exporter_", "ml_last_", "ml_source_", "ml_cohort_", "ml_label_delay_")
    for line in text.splitlines():
        if line.startswith("ml_exporter_observations_dropped_total") or not line.startswith(others):
            name, _, value = line.rpartition(" ")
            yield f"{name} {float(value):.10g}"


def odd_values() -> Monitor:
    """Each as a number, as a category, and as a text; as an id, a label and a score, too."""
    types = {"number": "number", "category": "category"}
    features = {
        **{name: name for name in types},
        "words": {"words": "text"},
        "items": {"items": "text"},
        "hour": {"hour": "time"},
        "inner": "nested.a",
    }
    monitor = Monitor(
        "odd",
        **BINARY,
        score=True,
        features=features,
        types=types,
        labels=True,
        learn={"rows": 50},
    )
    for place, value in enumerate(ODD * 5):
        row = {"number": value, "category": value, "text": value, "time": value, "nested": value}
        monitor.log(row, prediction=value, score=value, id=value)
        monitor.log({value: 1} if isinstance(value, str) else {}, prediction="1", id=str(place))
        monitor.label(str(place), value)
    monitor.log_many({"number": ODD, "category": np.array(range(len(ODD)))}, prediction=ODD)
    monitor.log_many([[1, 2, 3]], prediction=["1"])  # of five names
    return monitor


def everything(state: Path) -> Monitor:
    """A model of several classes, and all that may be said of a prediction."""
    chance = random.Random(7)
    monitor = Monitor(
        "classes",
        task="multiclass",
        version={"field": "version"},
        features=["age", "city"],
        score=["a", "b", 3],
        attributions=True,
        ranked=2,
        labels={"wait": "30d"},
        segments=["city"],
        constraints={"age": {"max": 60}},
        notable={"margin": 0.1},
        learn={"rows": 50},
        state=state,
        first_scrape_wait=0,
    )
    for place in range(2 * ROWS):
        city = chance.choice(["Köln", "Lyon", "<other>", None])
        scores = [chance.random() for _ in range(3)]
        monitor.log(
            {"age": chance.gauss(40, 12), "city": city},
            prediction=["a", "b", 3][int(np.argmax(scores))],
            score=scores if place % 2 else dict(zip(["a", "b", 3], scores, strict=True)),
            id=place,
            version="v1" if place % 3 else "v2",
            timestamp=START + 900 * place,
            attributions={"age": chance.random(), "city": np.float32(0.5)},
            ranked=chance.sample(["a", "b", 3], 3),
        )
    for place in range(2 * ROWS):
        monitor.label(place, chance.choice(["a", "b", 3]), START + 900 * place)
    return monitor


def with_baselines(folder: Path) -> tuple[Monitor, Monitor]:
    """A baseline of one's own, and one of SageMaker's."""
    chance = np.random.default_rng(7)
    ages, scores = chance.normal(40, 12, ROWS), chance.random(ROWS)
    fields = {
        Field("feature", "age"): Column(ages.tolist()),
        Field("feature", "city"): Column(["Köln", "Lyon"] * (ROWS // 2)),
        PREDICTION: Column((scores > 0.5).astype(int).tolist()),
        SCORE: Column(scores.tolist()),
        LABEL: Column((scores > chance.random(ROWS)).astype(int).tolist()),
    }
    batch = Batch(ROWS, fields)
    request = Request("given", None, {}, {}, bins=10, categories=50, positive="1")
    (folder / "given.json").write_bytes(encode(build(lambda: [batch], request)))
    given = Monitor("given", **BINARY, score=True, baseline=folder / "given.json")
    sagemaker = Monitor("sagemaker", **BINARY, baseline=SAGEMAKER)
    columns = {"age": ages, "city": ["Köln", "Bonn"] * (ROWS // 2)}
    given.log_many(columns, prediction=scores > 0.4, score=scores, label=np.ones(ROWS))
    sagemaker.log_many(columns, prediction=scores > 0.4)
    return given, sagemaker


def of_two_processes(state: Path) -> Monitor:
    """Two workers; labels come to the one that didn't predict."""
    monitor = Monitor("workers", **BINARY, labels=True, learn={"rows": 50}, state=state)
    for place in range(ROWS):
        monitor.log({"x": place % 5, "y": "b"}, prediction="0", id=f"parent {place}")
    monitor.flush()  # the baseline is learned from these
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            for place in range(ROWS):
                monitor.log({"x": place % 7, "y": "a"}, prediction="1", id=f"child {place}")
                monitor.label(f"parent {place}", "0")
            monitor.hand_over()
        os._exit(0)
    for place in range(ROWS):
        monitor.label(f"child {place}", "1")
    os.waitpid(child, 0)
    return monitor


def requests() -> Monitor:
    """What middleware copies."""
    monitor = Monitor("requests", **BINARY, score=True, features=["age"], learn={"rows": 50})
    odd = [
        b'{"age": 1e400}',
        b'{"age": NaN}',
        b'{"age": "\\ud800"}',
        b"{",
        b'{"age": 7, "b": []}',
    ]

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"prediction": "1", "score": 0.7}).encode()]

    application = MonitorWsgiMiddleware(answer, monitor, path="/predict")
    for place in range(ROWS):
        body = odd[place] if place < len(odd) else b'{"age": %d}' % place
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/predict",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        answered = application(environ, lambda status, headers, error=None: print)
        b"".join(answered)
        if hasattr(answered, "close"):
            answered.close()
    return monitor


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Bands that a real Prometheus records equal their twins, of the history that it has recorded."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

import numpy as np
import pytest

from ml_exporter.rules import Timing
from ml_exporter.rules.signals import WEEKS, scale_of
from ml_exporter.statistics import signals
from ml_exporter.statistics.intervals import wilson
from tests.rules.targets import Prometheus, Targets, prometheus
from tests.support import get, wait_until

# A week of four seconds each day, so that three of them are soon gone by.
TIMING = Timing.shortened(0.25, **{"1h": 1.0, "24h": 4.0, "7d": 12.0})
SCRAPE = 0.25
SECONDS = 60
FIGURES = (("accuracy", 500), ("recall", 40), ("r2", 500))

Samples = Mapping[str, list[tuple[float, float]]]  # times and values, by signal and season


def expositions() -> list[str]:
    """What is recorded of a model by other rules: figures that vary, and fall in the end."""
    draw = random.Random(1)
    texts = []
    for scrape in range(round(SECONDS / SCRAPE)):
        lines = [f'model:predictions:1h{{model="m"}} {500 + draw.randrange(60)}']
        for name, rows in FIGURES:
            share = 0.95 if scrape * SCRAPE < SECONDS - 6 else 0.6
            correct = sum(draw.random() < share for _ in range(rows))
            lower, upper = wilson(correct, rows)
            for end, value in (("", correct / rows), ("_lower", lower), ("_upper", upper)):
                lines.append(f'model:performance{end}:1h{{model="m",monitor="{name}"}} {value!r}')
        texts.append("\n".join(lines) + "\n")
    return texts


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("signals")
    with (
        Targets({"a": expositions()}).serving() as targets,
        prometheus("prometheus", folder, TIMING, SCRAPE, "signals") as server,
    ):
        server.scrape(targets, ["a"])
        wait_until(targets.finished, SECONDS * 4, "all of the history")
        yield server


def samples(server: Prometheus, series: str) -> Samples:
    _, text = get(f"{server.url}/api/v1/query?{urlencode({'query': f'{series}[10m]'})}")
    return {
        f"{one['metric']['signal']} {one['metric'].get('season', '')}".strip(): [
            (float(time), float(value)) for time, value in one["values"]
        ]
        for one in json.loads(text)["data"]["result"]
    }


def earlier(history: list[tuple[float, float]], time: float, season: str) -> list[list[float]]:
    """What was recorded about the same time of each of the earlier days or weeks."""
    hour, day, week = (TIMING.lengths[name] for name in ("1h", "24h", "7d"))
    step, count = {"day": (day, round(week / day)), "week": (week, WEEKS)}[season]
    ends = [time - step * number + hour / 2 for number in range(1, count + 1)]
    parts = [[value for at, value in history if end - hour < at <= end] for end in ends]
    return [part for part in parts if part]


@pytest.fixture(scope="module")
def found(recorded: Prometheus) -> dict[str, Samples]:
    names = ("value", "interval_lower", "interval_upper", "score", "variance", "learned_score",
             "expected_score", "expected_variance", "usual_excess_variance", "excess_variance",
             "half_width", "lower_end", "upper_end", "lower_band", "upper_band",
             "anomaly")  # fmt: skip
    return {name: samples(recorded, f"signal:{name}") for name in names}


@pytest.mark.parametrize("signal", ["accuracy", "recall", "r2", "predictions"])
def test_bands(found: dict[str, Samples], signal: str) -> None:
    scale = scale_of(signal)
    at = {name: dict(of[signal]) for name, of in found.items() if signal in of}
    times = [time for time, _ in found["anomaly"][signal][-20:]]
    anomalies = hours = 0
    for time in times:
        score, variance = signals.score(
            at["interval_lower"][time], at["interval_upper"][time], scale
        )
        assert at["score"][time] == pytest.approx(score)
        assert at["variance"][time] == pytest.approx(variance)
        ends = []
        for season in ("day", "week"):
            of = {
                name: dict(of[f"{signal} {season}"])[time]
                for name, of in found.items()
                if f"{signal} {season}" in of and name != "excess_variance"
            }
            variances = [np.mean(one) for one in earlier(found["variance"][signal], time, season)]
            scores = [
                np.median(one) for one in earlier(found["learned_score"][signal], time, season)
            ]
            middle, whole = np.median(scores), variance + signals.middle_variance(variances)
            assert of["expected_score"] == pytest.approx(middle)
            assert of["expected_variance"] == pytest.approx(whole)
            half = signals.half_width(whole, of["usual_excess_variance"])
            assert of["half_width"] == pytest.approx(half)
            outside = not at["lower_end"][time] <= score <= at["upper_end"][time]
            hourly = dict(found["excess_variance"][f"{signal} {season}"])
            week = [
                v for at_hour, v in hourly.items() if time - TIMING.lengths["7d"] < at_hour < time
            ]
            assert of["usual_excess_variance"] == pytest.approx(np.median(week))
            if time in hourly:
                excess = signals.excess(score, middle, whole)
                assert hourly[time] == pytest.approx(
                    of["usual_excess_variance"] if outside else excess
                )
                hours += 1
            ends.append((middle - half, middle + half))
        lower, upper = min(low for low, _ in ends), max(high for _, high in ends)
        assert (at["lower_end"][time], at["upper_end"][time]) == pytest.approx((lower, upper))
        assert at["learned_score"][time] == pytest.approx(signals.clip(score, lower, upper))
        for name, end in (("lower_band", lower), ("upper_band", upper)):
            band = signals.band_of_figure(at["value"][time], score, end, scale)
            assert at[name][time] == pytest.approx(band)
        in_band = at["lower_band"][time] <= at["value"][time] <= at["upper_band"][time]
        assert in_band == (at["anomaly"][time] <= 1) == (lower <= score <= upper)
        anomalies += not in_band
    assert hours
    assert (anomalies > 0) == (signal != "predictions")


def test_no_sample_is_nan(found: dict[str, Samples]) -> None:
    values = [value for of in found.values() for one in of.values() for _, value in one]
    assert all(math.isfinite(value) for value in values)

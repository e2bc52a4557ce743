"""What Prometheus records of completions equals its twin, of the answers themselves."""

from __future__ import annotations

import math
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from ml_exporter.batch import Batch, Field
from ml_exporter.columns import Column
from ml_exporter.dashboards.completions_dashboard import completions_dashboard
from ml_exporter.dashboards.queries import panel_queries
from ml_exporter.exposition import render
from ml_exporter.families import freeze
from ml_exporter.monitors.completions import BETWEEN, TO_FIRST, Completions
from ml_exporter.rules import Timing
from ml_exporter.rules.completions import QUANTILES
from ml_exporter.statistics.completions import cut_off, cut_off_rise, per, shares
from ml_exporter.statistics.regression import quantile
from tests.rules.targets import Prometheus, Targets, prometheus
from tests.support import ROOT, find_tool, wait_until

TIMING = Timing.shortened(2)
SCRAPE = 0.5
ZEROS = 8  # scrapes before the first answers
REPLICAS = ("large", "small")

ROWS = 3000
RNG = np.random.default_rng(3)
REASON = RNG.choice(
    ["stop", "length", "content_filter", "tool_calls"], ROWS, p=[0.7, 0.2, 0.05, 0.05]
)
IN, OUT = RNG.integers(1, 4000, ROWS), RNG.integers(2, 900, ROWS)
CACHED, REASONED = IN // 3, OUT // 4
IS_COUNTED = RNG.integers(0, 2, ROWS)
FIRST = RNG.lognormal(-1, 1, ROWS)  # seconds
DURATION = FIRST + (OUT - 1) * RNG.lognormal(-3, 0.5, ROWS)
BETWEEN_TOKENS = (DURATION - FIRST) / (OUT - 1)


def exposition(rows: slice) -> str:
    """What the exporter counts of these answers, as a scrape sees it."""
    monitor = Completions("assistant", "1")
    columns = {
        "finish_reason": REASON,
        "input_tokens": IN,
        "output_tokens": OUT,
        "cached_tokens": CACHED,
        "reasoning_tokens": REASONED,
        "is_counted": IS_COUNTED,
        "first": FIRST,
        "duration": DURATION,
    }
    fields = {Field("completion", name): Column(of[rows].tolist()) for name, of in columns.items()}
    monitor.update(Batch(len(REASON[rows]), fields))
    return render(freeze(monitor.families)).decode()


@pytest.fixture(scope="module", params=["prometheus", "prometheus-2.42/prometheus"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    zero = exposition(slice(0, 0))
    answers = {
        name: [*[zero] * ZEROS, exposition(part)]
        for name, part in zip(REPLICAS, (slice(0, 2000), slice(2000, ROWS)), strict=True)
    }
    folder: Path = tmp_path_factory.mktemp("completions")
    with (
        Targets(answers).serving() as targets,
        prometheus(request.param, folder, TIMING, SCRAPE, "completions") as server,
    ):
        server.scrape(targets, REPLICAS)
        wait_until(lambda: server.by("model", "model:completions:1h") == {"assistant": ROWS}, 60)
        last = "model:time_per_output_token_seconds:1h"
        wait_until(lambda: len(server.query(f"{last} > 0")) == len(QUANTILES), 60)
        yield server


def test_why_answers_end(server: Prometheus) -> None:
    counts = Counter(REASON.tolist())
    found = server.by("finish_reason", "model:finish_reason_ratio:1h > 0")
    assert found == pytest.approx(shares(counts))
    found = server.by("model", "model:cut_off_ratio:1h")
    assert found == {"assistant": pytest.approx(per(cut_off(counts), ROWS))}


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ("input_tokens", IN.sum()),
        ("output_tokens", OUT.sum()),
        ("cached_input_ratio", per(CACHED.sum(), IN.sum())),
        ("reasoning_output_ratio", per(REASONED.sum(), OUT.sum())),
        ("requests_without_usage", IS_COUNTED.sum()),
        ("output_tokens_per_second", per(OUT.sum(), TIMING.lengths["1h"])),
        ("streamed_requests", ROWS),
    ],
)
def test_figures_of_tokens(server: Prometheus, series: str, expected: float) -> None:
    found = server.by("model", f"model:{series}:1h")
    assert found == {"assistant": pytest.approx(float(expected))}


def test_tokens_of_a_request(server: Prometheus) -> None:
    assert server.by("direction", "model:tokens_per_request:1h") == {
        "input": pytest.approx(IN.mean()),
        "output": pytest.approx(OUT.mean()),
    }


@pytest.mark.parametrize(
    ("series", "took", "buckets"),
    [
        ("time_to_first_token_seconds", FIRST, TO_FIRST),
        ("time_per_output_token_seconds", BETWEEN_TOKENS, BETWEEN),
    ],
)
def test_how_fast_tokens_come(
    server: Prometheus,
    series: str,
    took: np.ndarray[tuple[int], np.dtype[np.float64]],
    buckets: tuple[float, ...],
) -> None:
    counts = [np.count_nonzero(took <= upper) for upper in (*buckets, np.inf)]
    assert server.by("quantile", f"model:{series}:1h") == {
        str(q): pytest.approx(quantile(q, buckets, counts)) for q in QUANTILES
    }


def test_every_panel_has_data(server: Prometheus) -> None:
    """But for those that compare with a week before."""
    queries = panel_queries(completions_dashboard(), model="assistant", window="1h")
    assert {panel for panel, expr in queries if not server.query(expr)} == {
        *("Rise of answers that are cut off", "First token against the week before"),
    }


@pytest.mark.parametrize("promtool", ["promtool", "prometheus-2.42/promtool"])
def test_a_rise_of_answers_that_are_cut_off(tmp_path: Path, promtool: str) -> None:
    """Of many models at once, each with an hour, and a week that ended a day before."""
    rng = np.random.default_rng(5)
    series, expected = [], []
    for model in range(100):
        answers, before = int(rng.choice([0, 12, 100, 2000])), int(rng.choice([0, 500, 50_000]))
        count = int(answers * rng.choice([0, 0.1, 0.15, 0.5, 1]))
        earlier = int(before * rng.choice([0, 0.05, 0.1, 0.3]))
        for window, counted in (("1h", (answers, count)), ("7d", (before, earlier))):
            for name, value in zip(("completions", "cut_off_completions"), counted, strict=True):
                of = f'model:{name}:{window}{{model="{model}",version="1"}}'
                series.append({"series": of, "values": f"{value}x26"})
        if answers:
            of = f'model:cut_off_ratio:1h{{model="{model}",version="1"}}'
            series.append({"series": of, "values": f"{count / answers}x26"})
        rise = cut_off_rise(count, answers, earlier, before)
        if not math.isnan(rise):
            expected.append(
                {"labels": f'{{model="{model}",version="1"}}', "value": round(rise * 1e6)}
            )
    assert 10 < len(expected) < 90
    names = ("model:earlier_", "model:cut_off_rise:1h")
    groups = yaml.safe_load((ROOT / "prometheus/rules/completions.yml").read_text())["groups"]
    rules = [
        rule for group in groups for rule in group["rules"] if rule["record"].startswith(names)
    ]
    (tmp_path / "rules.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "completions", "rules": rules}]})
    )
    test = {
        "interval": "1h",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": "round(model:cut_off_rise:1h * 1e6)",
                "eval_time": "25h",
                "exp_samples": expected,
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1h", "tests": [test]})
    )
    command = [find_tool(promtool), "test", "rules", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr

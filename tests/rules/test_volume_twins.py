"""The rules of volume.yml compute what `statistics.volume` does, on Prometheus's own engine."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from ml_exporter.statistics.volume import DAYS, change, usual
from tests.support import ROOT, find_tool

_LABELS = '{job="j",model="m%d"}'


def counts(model: int, hours: int) -> list[int]:
    """Hourly predictions with a day, outages and gaps, all made up."""
    rng = np.random.default_rng(model)
    day = 10 ** rng.uniform(1, 4) * (1.2 + np.sin(np.arange(hours) * 2 * np.pi / 24))
    values = rng.poisson(day * rng.lognormal(0, 0.2, hours))
    values[rng.random(hours) < 0.05] = 0
    values[-12:] = values[-12:] * rng.choice([0, 0.2, 0.4, 1, 3], 12)
    return [int(one) for one in values]


@pytest.mark.parametrize("promtool", ["promtool", "prometheus-2.42/promtool"])
def test_rules_and_functions_agree(tmp_path: Path, promtool: str) -> None:
    hours = 16 * 24
    models = {model: counts(model, hours)[model * 20 :] for model in range(8)}
    series, changes, medians = [], [], []
    for model, values in models.items():
        absent = hours - len(values)
        series.append(
            {
                "series": f'model:all_predictions:1h{{job="j",model="m{model}"}}',
                "values": " ".join(["_"] * absent + [str(one) for one in values]),
            }
        )
        for hour in range(hours - 12, hours - 1):
            earlier = {
                days: [values[at + by] for by in (0, -1, 1) if at + by >= 0]
                for days in DAYS
                if (at := hour - absent - 24 * days) >= 0
            }
            of = usual(earlier)
            for expected, found in ((change(values[hour - absent], of), changes), (of[0], medians)):
                if not math.isnan(expected):
                    found.append((hour, model, expected))
    assert len({model for _, model, _ in changes}) > 3
    tests = [
        {
            "expr": expr,
            "eval_time": f"{hour}h",
            "exp_samples": [
                {"labels": _LABELS % model, "value": value}
                for at, model, value in expected
                if at == hour
            ],
        }
        for expr, expected in (
            ("model:volume_change:1h * 1", changes),
            ("model:usual_predictions:1h * 1", medians),
        )
        for hour in range(hours - 12, hours - 1)
    ]
    rules = yaml.safe_load((ROOT / "prometheus/rules/volume.yml").read_text())
    rules["groups"][0]["rules"] = rules["groups"][0]["rules"][1:]  # all but what is given
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump(
            {
                "rule_files": ["rules.yml"],
                "evaluation_interval": "1h",
                "tests": [{"interval": "1h", "input_series": series, "promql_expr_test": tests}],
            }
        )
    )
    command = [find_tool(promtool), "test", "rules", str(tmp_path / "test.yml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr

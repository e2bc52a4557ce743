"""The rules of schema violations decide what `statistics.schema` does, on a real engine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ml_exporter.statistics.schema import LIMITS, is_new, is_violation
from tests.support import ROOT, find_tool

KINDS = {"missing_field": "missing", "wrong_type": "invalid", "extra_field": ""}
Case = tuple[str, int, int, int, int, int, float]


def cases() -> Iterator[Case]:
    """Kind and number; rows and violations of an hour and of a day; the baseline's share."""
    rng = np.random.default_rng(5)
    for kind in KINDS:
        for number in range(60):
            hour = int(rng.choice([0, 12, 100, 1000]))
            day = hour + int(rng.choice([0, 0, 500, 20_000]))
            count = int(hour * rng.choice([0, 0.04, 0.08, 0.3, 1]))
            of_day = count + int((day - hour) * rng.choice([0, 0.03, 0.1, 1]))
            yield kind, number, hour, day, count, of_day, float(rng.choice([0, 0.02, 0.25]))


CASES = list(cases())


def series() -> Iterator[dict[str, str]]:
    for kind, field, hour, day, count, day_count, usual in CASES:
        of_model = f'{{model="{kind}{field}"}}'
        of_field = f'{{model="{kind}{field}",field="f",violation="{kind}"}}'
        of_role = f'{{model="{kind}{field}",role="feature",field="f",baseline_id="b"}}'
        yield from (
            {"series": name, "values": f"{value}x9"}
            for name, value in (
                (f"model:predictions:1h{of_model}", hour),
                (f"model:predictions:24h{of_model}", day),
                (f"ml_schema_violations_total:1h{of_field}", count),
                (f"ml_schema_violations_total:24h{of_field}", day_count),
                (f"field:baseline_rows{of_role}", 1000),
                (f"field:baseline_{KINDS[kind] or 'missing'}_count{of_role}", 1000 * usual),
            )
        )


def expected() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    changes, violations = [], []
    for kind, field, hour, day, count, day_count, usual in CASES:
        is_change = is_new(count, hour, day_count - count, day - hour)
        labels = f'model="{kind}{field}",field="f",violation="{kind}"'
        if is_change:
            changes.append({"labels": f"{{{labels}}}", "value": count / hour})
        for severity, limit in LIMITS.items():
            if kind == "extra_field":
                fires = severity == "warning" and is_change
                fires = fires and is_violation(count, hour, 0, limit)
            else:
                fires = is_violation(count, hour, usual, limit)
            if fires:
                of = f'{{{labels},severity="{severity}"}}'
                violations.append({"labels": of, "value": count / hour})
    return changes, violations


@pytest.mark.parametrize("promtool", ["promtool", "prometheus-2.42/promtool"])
def test_rules_and_functions_agree(tmp_path: Path, promtool: str) -> None:
    wanted = (
        *("field:schema_violation_ratio:1h", "field:earlier_schema_violation_ratio:24h"),
        *("field:schema_change:1h", "field:schema_violation:1h"),
    )
    rules = [
        rule
        for file in ("models.yml", "alerts.yml")
        for group in yaml.safe_load((ROOT / "prometheus/rules" / file).read_text())["groups"]
        for rule in group["rules"]
        if rule.get("record") in wanted
    ]
    changes, violations = expected()
    assert len(changes) > 10
    assert {one["labels"].split('"')[-2] for one in violations} == {"warning", "critical"}
    tests = [
        {"expr": f"{name} * 1", "eval_time": "5m", "exp_samples": samples}
        for name, samples in zip(wanted[2:], (changes, violations), strict=True)
    ]
    groups = [{"name": "schema", "rules": rules}]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    test = {"interval": "1m", "input_series": list(series()), "promql_expr_test": tests}
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [test]})
    )
    command = [find_tool(promtool), "test", "rules", str(tmp_path / "test.yml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr

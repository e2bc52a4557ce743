"""How often a change of a window is seen, and how often one where there is none.

`python benchmarks/detection.py [--peers=PYTHON]`: baselines of real data sets, and windows of their
other rows, as they are or changed in one way (`detection_changes.py`). A window counts if any field
of it is called drifted. Beside the exporter, by its own bins, critical values and twins of the
rules, are the tests of a textbook (`detection_textbook.py`), a plain PSI, and the defaults of
peers, in an interpreter that has them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import detection_data as data
import detection_textbook as textbook
import numpy as np
import pandas as pd
from detection_changes import CHANGES, EXACT, Pool, changes, window, write

from ml_exporter.baseline.baseline import Baseline, Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import Batch, Field
from ml_exporter.columns import Column
from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.families import freeze
from ml_exporter.judgement.judgement import judge
from ml_exporter.judgement.verdicts import FieldVerdict
from ml_exporter.monitors import Monitor
from ml_exporter.monitors.components import ComponentValues
from ml_exporter.monitors.fields import FieldValues
from ml_exporter.monitors.info import ModelInfo
from ml_exporter.monitors.thresholds import Thresholds
from ml_exporter.statistics.bins import Floats
from ml_exporter.statistics.drift import HOURS_PER_WEEK, critical_values, significance, weight

SIZES = (200, 1000, 5000)
BINS = (10, 20)
BUDGET = 0.01  # chance of a false alarm: in a window, and in a week of hours
PSI = "PSI > 0.2"
CALM = 5  # times as many windows without a change, whose share is small
TINY = 1e-300  # less is no chance
ALIKE = 0.02  # share of windows with a false alarm, at which tests are held against each other

Decisions = dict[str, dict[str, list[bool]]]  # by tool and `ROWS/CHANGE`, one a window
Evidence = dict[str, dict[str, list[float]]]  # the same, of how far out the farthest test is


def batch(frame: pd.DataFrame) -> Batch:
    plain = frame.astype(object).where(frame.notna(), None)
    columns = {Field("feature", str(name)): Column(plain[name].tolist()) for name in plain}
    return Batch(len(frame), columns)


def plain_psi(counts: Floats, usual: Floats) -> float:
    """As most write it: shares of nothing are 0.0001."""
    a, b = (np.maximum(side / side.sum(), 1e-4) for side in (counts, usual))
    return float(np.sum((a - b) * np.log(a / b)))


class Ours:
    """The exporter with a baseline of so many bins."""

    def __init__(self, baseline: pd.DataFrame, bins: int) -> None:
        request = Request("m", "1", {}, {}, bins, 50)
        self._bins = bins
        self._baseline: Baseline = build(lambda: [batch(baseline)], request)
        every = (*self._baseline.fields, *self._baseline.component_fields)
        weights = sum(weight(field.tested_as) for field in every)
        self._a_window = {
            (str(field.role), field.name): critical_values(
                field.tested_as,
                field.array(),
                weights=weights,
                false_alarms=BUDGET * HOURS_PER_WEEK,
            )
            for field in every
        }

    def decide(self, rows: Batch) -> tuple[dict[str, bool], dict[str, float]]:
        """Whether any field drifted, at 1 % of windows and as the exporter is by default.

        And how far out the farthest test is, of ours and of the textbook's.
        """
        of, baseline = ("m", "1"), self._baseline
        monitors: list[Monitor] = [
            ModelInfo(*of, "binary", None),
            FieldValues(*of, baseline, baseline.fields, BUDGET),
            Thresholds(*of, baseline, {}, [], (), BUDGET),
        ]
        if baseline.component_fields:
            monitors.append(ComponentValues(*of, baseline, baseline.component_fields, BUDGET))
        for monitor in monitors:
            monitor.update(rows)
        (model,) = judge(freeze([family for one in monitors for family in one.families]))
        version = model.versions[0]
        every = (*version.fields, *version.components)
        ours, theirs = names(self._bins)
        farthest = max(map(self._in_a_window, every))
        counts = {(one.role, one.name): one.counts for one in every}
        chance = textbook.chance(baseline, counts)
        decided = {
            f"{ours}, 1 % of windows": farthest > 1,
            f"{ours}, 1 % of weeks": any(one.significance > 1 for one in every),
            f"{ours}, and material": any(one.state in SEVERITIES for one in every),
            theirs: chance < BUDGET,
        }
        if self._bins == 10:
            sizes = [plain_psi(one.counts, one.baseline_counts) for one in version.fields]
            decided[PSI] = max(sizes) > 0.2
        return decided, {ours: farthest, theirs: -float(np.log(max(chance, TINY)))}

    def _in_a_window(self, field: FieldVerdict) -> float:
        return significance(field.statistics, self._a_window[field.role, field.name])


def names(bins: int) -> tuple[str, str]:
    return f"*ours*, {bins} bins", f"textbook, {bins} bins"


def of_ours(baseline: pd.DataFrame, pool: Pool, windows: int) -> tuple[Decisions, Evidence]:
    tools = [Ours(baseline, bins) for bins in BINS]
    found: Decisions = {}
    evidence: Evidence = {}
    for rows in SIZES:
        for change in changes(rows):
            of = f"{rows}/{change}"
            for number in range(windows * CALM if change == "no change" else windows):
                drawn = batch(window(pool, change, rows, number))
                for tool in tools:
                    decided, farthest = tool.decide(drawn)
                    for name, decision in decided.items():
                        found.setdefault(name, {}).setdefault(of, []).append(decision)
                    for name, value in farthest.items():
                        evidence.setdefault(name, {}).setdefault(of, []).append(value)
    return found, evidence


def of_peers(
    python: str, cases: Mapping[str, tuple[pd.DataFrame, Pool]], windows: int
) -> dict[str, dict[str, dict[str, list[bool]] | None]]:
    """Their decisions by data set; None in place of a tool that can't be imported."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, (baseline, pool) in cases.items():
            (folder / case).mkdir()
            pool.save(folder / case)
            write(baseline, folder / case / "baseline.csv")
        program = Path(__file__).with_name("detection_peers.py")
        command = [python, str(program), str(folder), str(windows), *map(str, SIZES)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return {case: json.loads((folder / case / "peers.json").read_text()) for case in cases}


def table(found: Sequence[Decisions], rows: int, changes: Sequence[str]) -> list[str]:
    """Per cent of windows over all data sets, by tool and change."""

    def seen(tool: str, change: str) -> Floats:
        every = [one.get(tool, {}).get(f"{rows}/{change}", []) for one in found]
        return 100 * np.concatenate(every)

    lines = [f"| {rows:,} rows | {' | '.join(changes)} |", f"| --- |{' --- |' * len(changes)}"]
    for tool in dict.fromkeys(tool for one in found for tool in one):
        cells = []
        for change in changes:
            decided = seen(tool, change)
            digits = 1 if change == "no change" else 0
            cells.append(f"{decided.mean():.{digits}f}" if decided.size else "")
        if any(cells):
            lines.append(f"| {tool} | {' | '.join(cells)} |")
    return lines


def alike(found: Sequence[Evidence], rows: int, changes: Sequence[str]) -> list[str]:
    """The same of both, each with the limit at which it has as many false alarms as the other."""
    lines = []
    for bins in BINS:
        seen = {}
        for tool in names(bins):
            calm = np.concatenate([one[tool][f"{rows}/no change"] for one in found])
            limit = np.quantile(calm, 1 - ALIKE)
            seen[tool] = [
                100.0 * (np.concatenate([one[tool][f"{rows}/{change}"] for one in found]) > limit)
                for change in changes
            ]
            cells = [f"{decided.mean():.0f}" for decided in seen[tool]]
            lines.append(f"| {tool}, {100 * ALIKE:.0f} % false alarms | {' | '.join(cells)} |")
        gains = [ours - theirs for ours, theirs in zip(*seen.values(), strict=True)]
        cells = [f"{gain.mean():+.0f} ± {gain.std() / np.sqrt(gain.size):.0f}" for gain in gains]
        lines.append(f"| difference, {bins} bins | {' | '.join(cells)} |")
    return lines


def by_data_set(found: Mapping[str, Decisions], change: str) -> list[str]:
    """Per cent of windows with a change, of each data set, at 1 % of windows by ten bins."""
    tool = "*ours*, 10 bins, 1 % of windows"
    lines = [
        f"| {change} | {' | '.join(f'{rows:,}' for rows in SIZES)} |",
        f"| --- |{' --- |' * len(SIZES)}",
    ]
    for name, one in found.items():
        cells = (f"{100 * np.mean(one[tool][f'{rows}/{change}']):.1f}" for rows in SIZES)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter that has the peers")
    parser.add_argument("--windows", type=int, default=20, help="of each data set and change")
    parser.add_argument("--peer-windows", type=int, default=8, help="the first of them")
    options = parser.parse_args()
    cases = {name: data.split(name, data.load(name), 0) for name in data.DATA_SETS}
    with ThreadPoolExecutor() as pool:  # the peers are a process of their own
        peers = options.peers and pool.submit(of_peers, options.peers, cases, options.peer_windows)
        both = {name: of_ours(*case, options.windows) for name, case in cases.items()}
        theirs = peers.result() if peers else {}
    ours = {name: decisions for name, (decisions, _) in both.items()}
    evidence = [one for _, one in both.values()]
    found: list[Decisions] = [*ours.values()]
    missing: set[str] = set()
    for by_tool in theirs.values():
        missing |= {tool for tool, decided in by_tool.items() if decided is None}
        found.append({tool: one for tool, one in by_tool.items() if one is not None})
    print(
        f"% of windows in which any field drifted: {len(cases)} data sets, {options.windows} "
        f"windows of each ({options.windows * CALM} without a change; of peers "
        f"{options.peer_windows})."
    )
    print(f"Not installed: {', '.join(sorted(missing)) or 'none'}." if options.peers else "")
    for rows, of in (*((rows, [*CHANGES]) for rows in SIZES), (min(SIZES), [*EXACT])):
        print("\n" + "\n".join((*table(found, rows, of), *alike(evidence, rows, of))))
    for change in ("no change", "correlation, 30 % of rows"):
        print("\n" + "\n".join(by_data_set(ours, change)))


if __name__ == "__main__":
    main()

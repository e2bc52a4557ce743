"""Rows per second and peak memory of reading a prediction log, beside DuckDB and Polars.

All compute the same counts of the same file, each as a process of its own on one core, in
turns; the counts must be equal. The exporter runs twice: as it is, and by a baseline without what
makes it count more than the others do. whylogs, which needs an interpreter of its own, profiles the
same file in the first turn. Runs on Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

# Heavy imports would be counted as memory of the children (see `measure`): there are none here.

HERE = Path(__file__).parent
EXPORTER = Path(sys.executable).with_name("ml-exporter")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
LOGS = {
    "jsonl": "log.jsonl",
    "nested": "nested.jsonl",
    "csv": "log.csv",
    "parquet": "log.parquet",
}
TITLES = {"jsonl": "JSON Lines", "nested": "Nested JSON Lines", "csv": "CSV", "parquet": "Parquet"}
EXPORTERS = {"ml-exporter": "", "ml-exporter, same counts": "plain-"}  # prefixes of files
CONTESTANTS = (*EXPORTERS, "duckdb", "polars")
REFERENCE = "duckdb"
COUNTED_BY_NO_OTHER = ("scores", "losses", "components", "regions")  # parts of a baseline

CONFIG = """\
models:
  - name: flights
    task: binary
    positive: late
    baseline: {baseline}
    source: {{type: file, path: {log}}}
    fields: {{id: id, timestamp: ts, prediction: predicted, score: score, label: label}}
"""


class Run(NamedTuple):
    """One process, from its start to its end."""

    seconds: float
    peak: float  # resident memory in MiB
    counts: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir(), "ml-exporter-benchmark")
    )
    parser.add_argument("--formats", nargs="+", choices=LOGS, default=list(LOGS))
    parser.add_argument(
        "--whylogs", metavar="PYTHON", help="an interpreter that has whylogs, to measure it too"
    )
    arguments = parser.parse_args()
    whole = prepare(arguments.folder, arguments.rows, arguments.formats)
    tenth = prepare(arguments.folder, arguments.rows // 10, arguments.formats)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ.update(ONE_THREAD)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages are compiled once
    for format in arguments.formats:
        small = {name: measure(name, tenth, format) for name in CONTESTANTS}
        check_equal(small)
        runs = defaultdict(list)
        for _ in range(arguments.runs):
            turn = {name: measure(name, whole, format) for name in CONTESTANTS}
            check_equal(turn)
            for name, run in turn.items():
                runs[name].append(run)
        print_table(TITLES[format], arguments.rows, runs, small)
        if arguments.whylogs:
            profiled = measure("whylogs", whole, format, arguments.whylogs)
            print_whylogs(profiled, measure("ml-exporter", whole, format), arguments.rows)


def prepare(folder: Path, rows: int, formats: list[str]) -> Path:
    """A folder with the logs, made if need be, and new baselines, configurations and plans."""
    ready = folder / f"{rows}-rows"
    ready.mkdir(parents=True, exist_ok=True)
    missing = [LOGS[format] for format in formats if not (ready / LOGS[format]).exists()]
    if missing:
        subprocess.run(
            [sys.executable, HERE / "flights.py", ready, str(rows), *missing], check=True
        )
    for format in formats:
        log = LOGS[format]
        for prefix in EXPORTERS.values():
            config = CONFIG.format(baseline=f"{prefix}{format}-baseline.json", log=log)
            (ready / f"{prefix}{format}.yml").write_text(config)
        subprocess.run(
            [
                *(EXPORTER, "baseline", f"--config.file={format}.yml", "--model=flights"),
                *(f"--input=reference-{log}", f"--output={format}-baseline.json"),
            ],
            cwd=ready,
            check=True,
        )
        baseline = json.loads((ready / f"{format}-baseline.json").read_text())
        plain = {key: of for key, of in baseline.items() if key not in COUNTED_BY_NO_OTHER}
        (ready / f"plain-{format}-baseline.json").write_text(json.dumps(plain))
        with (ready / f"{format}-plan.json").open("w") as plan:
            subprocess.run(
                [sys.executable, HERE / "plan.py", ready / f"{format}-baseline.json"],
                stdout=plan,
                check=True,
            )
    return ready


def measure(name: str, folder: Path, format: str, python: str = sys.executable) -> Run:
    output = folder / f"{name}.out"
    command: list[str | Path]
    if name in EXPORTERS:
        config = f"--config.file={EXPORTERS[name]}{format}.yml"
        command = [EXPORTER, "run", "--once", config, "--output=-"]
    else:
        script = [HERE / "whylogs_profile.py"] if name == "whylogs" else [HERE / "peers.py", name]
        command = [python, *script, LOGS[format], f"{format}-plan.json"]
    with output.open("wb") as stdout:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=stdout)
        # Usage of this child alone. Linux has it begin at the memory of the parent.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{name} failed with exit code {process.returncode}")
    text = output.read_text()
    counts = read_exposition(text) if name in EXPORTERS else json.loads(text)
    return Run(seconds, usage.ru_maxrss / 1024, counts)


def read_exposition(text: str) -> dict[str, Any]:
    """The exporter's series in the form in which peers.py prints its counts."""
    columns: dict[str, dict[str, int]] = defaultdict(dict)
    confusion: dict[str, int] = {}
    rows = 0
    for name, labels, value in re.findall(r"^(ml_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        of = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
        count = int(float(value)) if name.endswith("_total") else 0
        if name == "ml_predictions_total":
            rows = count
        elif name == "ml_field_values_total" and of["role"] != "component":
            column = "predicted" if of["role"] == "prediction" else of["field"]
            columns[column][of["bin"]] = count
        elif name == "ml_outcomes_total":
            confusion[f"{of['actual']} / {of['predicted']}"] = count
    return {"rows": rows, "columns": columns, "confusion": confusion}


def check_equal(runs: dict[str, Run]) -> None:
    """End the program where a contestant counted otherwise than the reference."""
    expected = flat(runs[REFERENCE].counts)
    for name, run in runs.items():
        counted = flat(run.counts)
        for place in sorted(expected.keys() | counted.keys()):
            if expected.get(place, 0) != counted.get(place, 0):
                sys.exit(
                    f"{' '.join(place)}: {name} counts {counted.get(place, 0)},"
                    f" {REFERENCE} {expected.get(place, 0)}"
                )


def flat(counts: dict[str, Any]) -> dict[tuple[str, ...], int]:
    return {
        ("rows",): counts["rows"],
        **{("confusion", cell): n for cell, n in counts["confusion"].items()},
        **{
            (column, bin): n
            for column, bins in counts["columns"].items()
            for bin, n in bins.items()
        },
    }


def print_table(title: str, rows: int, runs: dict[str, list[Run]], small: dict[str, Run]) -> None:
    turns = len(runs[REFERENCE])
    print(f"\n{title}, {rows:,} rows, one core, median of {turns}\n")
    print(f"| | rows/s | to {REFERENCE} | peak MiB | of a tenth of the rows |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, mine in runs.items():
        speed = rows / statistics.median(run.seconds for run in mine)
        # Of each turn, so that what slows the machine for a while slows both.
        ratio = statistics.median(
            reference.seconds / run.seconds
            for run, reference in zip(mine, runs[REFERENCE], strict=True)
        )
        peak = max(run.peak for run in mine)
        print(f"| {name} | {speed:,.0f} | {ratio:.2f}x | {peak:.0f} | {small[name].peak:.0f} |")


def print_whylogs(profiled: Run, exporter: Run, rows: int) -> None:
    """One run of each, one after the other, unless they differ in what both count."""
    expected = {
        column: bins.get("<missing>", 0) for column, bins in exporter.counts["columns"].items()
    }
    for column, missing in profiled.counts["missing"].items():
        if column != "label" and missing != expected[column]:
            sys.exit(f"{column}: whylogs counts {missing} missing, ml-exporter {expected[column]}")
    if profiled.counts["rows"] != exporter.counts["rows"]:
        sys.exit(f"whylogs counts {profiled.counts['rows']} rows")
    ratio = profiled.seconds / exporter.seconds
    print(
        f"\nwhylogs profiles {rows / profiled.seconds:,.0f} rows/s in {profiled.peak:.0f} MiB;"
        f" ml-exporter is {ratio:.0f} times as fast."
    )


if __name__ == "__main__":
    main()

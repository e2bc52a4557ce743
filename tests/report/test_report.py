"""Reports of the examples, as the command writes them: every format, every exit code."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

GOLDEN = Path(__file__).parent
CASES = ("flights", "penguins", "celsius")

Row = dict[str, Any]


def report(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ml_exporter", "report", *arguments]
    settings = {"PYTHONPATH": str(ROOT / "exporter"), "PYTHONUTF8": "1", **environment}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, check=False)


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """An example; `celsius` are flights whose feeds fail in the middle of the log."""
    name = request.param if hasattr(request, "param") else "flights"
    copy = tmp_path / name
    shutil.copytree(ROOT / "examples" / ("flights" if name == "celsius" else name), copy)
    if name == "celsius":
        change(copy / "logs/predictions.jsonl", in_celsius)
    return copy


def change(log: Path, of: Any) -> None:
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps(of(index, row)) + "\n" for index, row in enumerate(rows)))


def in_celsius(index: int, row: Row) -> Row:
    """From the 250th row on the temperature has another unit, and a visibility is often missing."""
    inputs = row["inputs"]
    if index >= 250:
        inputs = inputs | {"temp": round((inputs["temp"] - 32) / 1.8, 2)}
        inputs |= {"visib": None} if index % 3 == 0 else {}
    return row | {"inputs": inputs}


def rounded(value: Any) -> Any:
    """A document whose numbers are told to nine digits."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


class Html(HTMLParser):
    """The elements of a page; fails where a tag isn't closed by its own."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("folder", CASES, indirect=True)
class TestGolden:
    """To write them anew: `ml-exporter report --format=FORMAT`, in the example's folder."""

    def test_text(self, folder: Path) -> None:
        done = report(folder)
        assert done.stdout.decode() == (GOLDEN / f"{folder.name}.txt").read_text()
        assert done.returncode == (3 if folder.name == "celsius" else 0)
        assert done.stderr == b""

    def test_text_fits_into_80_columns(self, folder: Path) -> None:
        lines = report(folder).stdout.decode().splitlines()
        assert max(map(len, lines)) <= 80

    def test_json(self, folder: Path) -> None:
        found = json.loads(report(folder, "--format=json").stdout)
        expected = json.loads((GOLDEN / f"{folder.name}.json").read_text())
        assert rounded(found) == rounded(expected)

    def test_sagemaker(self, folder: Path) -> None:
        done = report(folder, "--format=sagemaker")
        assert done.stdout.decode() == (GOLDEN / f"{folder.name}.sagemaker.json").read_text()
        assert done.returncode == (3 if folder.name == "celsius" else 0)

    def test_html(self, folder: Path) -> None:
        html = report(folder, "--format=html").stdout.decode()
        without_style = re.sub("<style>.*</style>", "", html, flags=re.DOTALL)
        assert without_style == (GOLDEN / f"{folder.name}.html").read_text()

    def test_html_needs_nothing_else(self, folder: Path) -> None:
        page = Html(report(folder, "--format=html").stdout.decode())
        assert "script" not in page.tags
        assert "link" not in page.tags
        assert all(reference.startswith("#") for reference in page.references)
        assert "svg" in page.tags


@pytest.mark.parametrize("folder", ["celsius"], indirect=True)
def test_the_documentation_shows_what_the_command_prints(folder: Path) -> None:
    assert report(folder).stdout.decode() in (ROOT / "docs/report.md").read_text()


@pytest.mark.parametrize("folder", ["celsius"], indirect=True)
def test_it_says_since_when(folder: Path) -> None:
    (model,) = json.loads(report(folder, "--format=json").stdout)["models"]
    (version,) = model["versions"]
    since = {field["field"]: field["since"] for field in version["fields"]}
    rows = [
        json.loads(line) for line in (folder / "logs/predictions.jsonl").read_text().splitlines()
    ]
    assert rows[250]["ts"].startswith("2026-03-01T00:04:10")
    assert since["temp"]["seen"]
    assert since["temp"]["time"] == pytest.approx(1772323450, abs=10)
    assert version["since"]["time"] == min(since["temp"]["time"], since["visib"]["time"])
    assert since["hour"] is None


class TestWithoutTimes:
    def test_it_says_since_which_row(self, tmp_path: Path) -> None:
        folder = tmp_path / "penguins"
        shutil.copytree(ROOT / "examples/penguins", folder)
        header, *rows = (folder / "log.csv").read_text().splitlines()
        island = header.split(",").index("island")
        changed = []
        for index, row in enumerate(rows * 2):
            cells = row.split(",")
            cells[island] = "Nowhere" if index >= 200 else cells[island]
            changed.append(",".join(cells))
        (folder / "log.csv").write_text("\n".join([header, *changed]) + "\n")
        done = report(folder)
        assert done.returncode == 3
        (since,) = {*re.findall(r"since about row (\d+)", done.stdout.decode())}
        assert abs(int(since) - 201) <= 4
        document = json.loads(report(folder, "--format=json").stdout)
        assert document["models"][0]["window"]["axis"] == "row"
        assert document["models"][0]["window"]["end"] == 344


class TestExitCodes:
    def test_a_warning_alarms(self, folder: Path) -> None:
        config = folder / "ml-exporter.yml"
        limits = "recall: {warning: 0.9}"
        config.write_text(
            config.read_text().replace("recall: {warning: 0.6, critical: 0.5}", limits)
        )
        done = report(folder, "--format=json")
        assert done.returncode == 3
        alarms = json.loads(done.stdout)["alarms"]
        assert {alarm["severity"] for alarm in alarms} == {"warning"}
        assert alarms[0]["alert"] == "ModelPerformanceDegraded"
        assert alarms[0]["findings"] == ["recall 0.706, below 0.9"]

    def test_rejected_rows_alarm(self, folder: Path) -> None:
        with (folder / "logs/predictions.jsonl").open("a") as log:
            log.write("{broken\n" * 40)
        done = report(folder)
        assert done.returncode == 3
        assert b"40 rows rejected: 40 malformed" in done.stdout

    def test_bad_configuration(self, folder: Path) -> None:
        (folder / "ml-exporter.yml").write_text("models: 1\n")
        done = report(folder)
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.startswith(b"ml-exporter.yml:1: models: ")

    def test_a_broken_baseline(self, folder: Path) -> None:
        (folder / "baseline.json").write_text("{}")
        done = report(folder)
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"baseline.json: not a baseline" in done.stderr

    def test_a_log_that_is_not_there(self, folder: Path) -> None:
        (folder / "labels/arrivals.jsonl").unlink()
        done = report(folder)
        assert done.returncode == 1
        assert b"500 predictions, 0 with label" in done.stdout
        assert b"not read: " in done.stdout
        assert b"labels/*.jsonl: no file matches" in done.stderr

    def test_where_it_can_not_write(self, folder: Path) -> None:
        done = report(folder, "--output=nowhere/report.html", "--format=html")
        assert done.returncode == 1
        assert done.stderr == b"nowhere/report.html: no such file or directory\n"

    @pytest.mark.parametrize("arguments", [["--format=pdf"], ["--input=x"], ["--form=json"]])
    def test_wrong_usage(self, folder: Path, arguments: list[str]) -> None:
        assert report(folder, *arguments).returncode == 2

    def test_a_model_there_is_not(self, folder: Path) -> None:
        done = report(folder, "--model=credit")
        assert done.returncode == 1
        assert done.stderr == (b"ml-exporter.yml: no model 'credit'; there are flight-delays\n")

    def test_nothing_to_judge_is_said(self, folder: Path) -> None:
        (folder / "logs/predictions.jsonl").write_text("")
        done = report(folder)
        assert done.returncode == 0
        assert done.stderr == b"flight-delays 1: no predictions to judge\n"

    def test_a_baseline_that_is_not_learned_is_said(self, folder: Path) -> None:
        config = folder / "ml-exporter.yml"
        config.write_text(config.read_text().replace("    baseline: baseline.json\n", ""))
        done = report(folder)
        assert done.returncode == 0
        assert done.stderr == (
            b"flight-delays 1: 500 rows are too few to learn a baseline from: nothing is judged\n"
        )


def test_one_of_several_models(tmp_path: Path) -> None:
    texts = []
    for name in ("flights", "penguins"):
        shutil.copytree(ROOT / "examples" / name, tmp_path / name)
        text = (tmp_path / name / "ml-exporter.yml").read_text().split("models:\n")[1]
        texts.append(re.sub(r"(baseline|path): ", rf"\1: {name}/", text))
    (tmp_path / "ml-exporter.yml").write_text("models:\n" + "".join(texts))
    both = report(tmp_path).stdout.decode()
    assert both.startswith(
        "ok       flight-delays\nok       penguins\n\nflight-delays version 1: OK\n"
    )
    done = report(tmp_path, "--model=penguins", "--format=json")
    assert [model["model"] for model in json.loads(done.stdout)["models"]] == ["penguins"]
    violations = json.loads(report(tmp_path, "--format=sagemaker").stdout)["violations"]
    assert {one["description"].split(": ")[0] for one in violations} == {
        "flight-delays 1",
        "penguins unversioned",
    }


def test_plain_where_the_terminal_is(folder: Path) -> None:
    done = report(folder, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert b"0.877-0.929" in done.stdout
    assert "█" in (report(folder).stdout.decode())


HOSTILE = "\x1b[2J<script>alert(1)</script>\u202e&\n"


def test_names_from_logs_are_only_text(folder: Path) -> None:
    def hostile(index: int, row: Row) -> Row:
        return row | {"inputs": row["inputs"] | {"carrier": HOSTILE + str(index % 3)}}

    change(folder / "logs/predictions.jsonl", hostile)
    config = folder / "ml-exporter.yml"
    text = config.read_text().replace("name: flight-delays", f"name: {json.dumps(HOSTILE)}")
    config.write_text(text.replace("    baseline: baseline.json\n", "    learn: {rows: 100}\n"))
    done = report(folder)
    assert b"\x1b" not in done.stdout
    assert "\u202e" not in done.stdout.decode()
    page = report(folder, "--format=html").stdout.decode()
    assert "<script" not in page
    assert "script" not in Html(page).tags


def test_the_output_is_a_file_and_the_log_of_a_step_of_ci_says_what_came_of_it(
    folder: Path,
) -> None:
    done = report(folder, "--output=report.txt")
    assert (done.stdout, done.stderr) == (b"", b"report.txt: Nothing alarms.\n")
    assert (folder / "report.txt").read_text() == (GOLDEN / "flights.txt").read_text()
    change(folder / "logs/predictions.jsonl", in_celsius)
    done = report(folder, "--output=report.html", "--format=html")
    assert (done.returncode, done.stderr) == (3, b"report.html: 3 alerts: 3 critical.\n")


def test_a_terminal_shows_the_progress_and_then_nothing_of_it(folder: Path) -> None:
    ours, terminal = pty.openpty()
    command = [sys.executable, "-m", "ml_exporter", "report", "--output=report.txt"]
    settings = {"PYTHONPATH": str(ROOT / "exporter")}
    subprocess.run(command, cwd=folder, env=settings, stderr=terminal, check=True)
    os.close(terminal)
    with open(ours, "rb", buffering=0) as screen:
        shown = screen.read(1000)
    assert shown == b"\r500 rows read\r1000 rows read\r\x1b[Kreport.txt: Nothing alarms.\r\n"


def test_of_very_many_fields_the_unwell_ones_are_told(folder: Path) -> None:
    features = [f"f{number}" for number in range(60)]

    def wide(index: int, row: Row) -> Row:
        values = {name: (index * 7919) % (number + 11) for number, name in enumerate(features)}
        return row | {"inputs": values | ({"f50": 1000} if index >= 300 else {})}

    change(folder / "logs/predictions.jsonl", wide)
    names = "".join(f"        {name}: inputs.{name}\n" for name in features)
    config = folder / "ml-exporter.yml"
    text = re.sub(r"(      features:\n)(        .*\n)+", rf"\1{names}", config.read_text())
    text = text.replace("    baseline: baseline.json\n", "    learn: {rows: 250}\n")
    config.write_text(text.replace("{hour: {", "{f1: {"))
    shown = report(folder).stdout.decode()
    assert re.search(r"^critical f50 ", shown, re.MULTILINE)
    assert "and 21 more with nothing beyond its threshold" in shown

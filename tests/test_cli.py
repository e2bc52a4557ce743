"""The commands as they are typed: output, messages and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_exporter import __version__
from ml_exporter.baseline.baseline import load as load_baseline
from ml_exporter.cli import main

pytestmark = pytest.mark.usefixtures("logging_as_before")

CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    source: {type: file, path: log.jsonl}
    fields: {prediction: p, label: y, features: [x]}
"""
OTHER = """\
  - name: n
    task: multiclass
    source: {type: file, path: n/*.csv}
    fields: {prediction: p}
"""


class Shell:
    """Commands in a folder of their own, and what they print."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.out = self.err = ""

    def write(self, name: str, content: str | list[dict[str, Any]]) -> None:
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        (self.folder / name).write_text(content)

    def run(self, *arguments: str) -> int:
        try:
            code = main(arguments)
        except SystemExit as exit:
            code = int(exit.code or 0)
        self.out, self.err = self.capsys.readouterr()
        return code


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.chdir(tmp_path)
    shell = Shell(tmp_path, capsys)
    shell.write("ml-exporter.yml", CONFIG)
    shell.write("log.jsonl", rows(3))
    return shell


def rows(count: int) -> list[dict[str, Any]]:
    return [{"p": "ab"[n % 2], "y": "a", "x": n} for n in range(count)]


class TestHelp:
    def test_lists_the_commands(self, shell: Shell) -> None:
        assert shell.run("--help") == 0
        for command in ("demo", "run", "baseline", "check", "report"):
            assert f"\n    {command} " in shell.out

    @pytest.mark.parametrize("command", ["demo", "run", "baseline", "check", "report"])
    def test_of_a_command_tells_every_default(self, shell: Shell, command: str) -> None:
        assert shell.run(command, "--help") == 0
        assert "(default: info)" in shell.out
        assert "==SUPPRESS==" not in shell.out
        assert "None" not in shell.out

    def test_of_the_version(self, shell: Shell) -> None:
        assert shell.run("--version") == 0
        assert shell.out == f"ml-exporter {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["walk"],
        ["run", "--unknown"],
        ["run", "--config", "ml-exporter.yml"],  # no abbreviations: what they mean would change
        ["run", "--output=metrics.prom"],
        ["run", "--once", "--proxy.upstream=http://model:8080"],
        ["run", "--proxy.upstream=model:8080"],
        ["run", "--proxy.upstream=ftp://model"],
        ["run", "--role=model"],
        ["run", "--web.listen-address=nowhere"],
        ["run", "--web.telemetry-path=metrics"],
        ["run", "--web.first-scrape-wait=soon"],
        ["run", "--log.level=loud"],
        ["check", "--log.format=xml"],
        ["baseline"],
        ["report", "--format=pdf"],
        ["report", "--once"],
    ],
)
def test_wrong_usage(shell: Shell, arguments: list[str]) -> None:
    assert shell.run(*arguments) == 2
    assert shell.err.startswith("usage: ml-exporter")
    assert shell.out == ""


class TestRunOnce:
    def test_writes_to_stdout(self, shell: Shell) -> None:
        assert shell.run("run", "--once") == 0
        assert '\nml_predictions_total{model="m",version="unversioned"} 3\n' in shell.out
        assert shell.err == ""

    @pytest.mark.parametrize("output", ["-", "metrics.prom"])
    def test_writes_where_it_is_told_to(self, shell: Shell, output: str) -> None:
        assert shell.run("run", "--once", f"--output={output}") == 0
        text = shell.out if output == "-" else Path(output).read_text()
        assert "ml_predictions_total" in text
        assert ("ml_predictions_total" in shell.out) == (output == "-")

    def test_does_not_mind_rejected_rows(self, shell: Shell) -> None:
        shell.write("log.jsonl", '{"p": "a"}\n{broken\n')
        assert shell.run("run", "--once") == 0
        assert 'ml_rows_rejected_total{model="m",version="unversioned",reason="malformed"} 1' in (
            shell.out
        )

    def test_minds_what_can_not_be_read_and_reads_the_rest(self, shell: Shell) -> None:
        shell.write("ml-exporter.yml", CONFIG + OTHER)
        assert shell.run("run", "--once") == 1
        assert shell.err == f"{shell.folder}/n/*.csv: no file matches\n"
        assert 'ml_predictions_total{model="m",version="unversioned"} 3' in shell.out

    def test_minds_where_it_can_not_write(self, shell: Shell) -> None:
        assert shell.run("run", "--once", "--output=nowhere/metrics.prom") == 1
        assert shell.err == "nowhere/metrics.prom: no such file or directory\n"

    @pytest.mark.parametrize(
        ("config", "error"),
        [
            (None, "missing.yml: no such file\n"),
            ("", "missing.yml: is empty\n"),
            (
                CONFIG.replace("prediction:", "predicton:"),
                "missing.yml:6: models[0].fields.predicton: unknown key; did you mean"
                " 'prediction'?\nmissing.yml:6: models[0].fields.prediction: is required\n",
            ),
            (
                CONFIG.replace("    source", "    baseline: b.json\n    source"),
                "{folder}/b.json: no such file; `ml-exporter baseline` makes it\n",
            ),
        ],
        ids=["no file", "empty", "misspelt", "no baseline"],
    )
    def test_minds_a_bad_configuration(self, shell: Shell, config: str | None, error: str) -> None:
        if config is not None:
            shell.write("missing.yml", config)
        assert shell.run("run", "--once", "--config.file=missing.yml") == 1
        assert shell.err == error.format(folder=shell.folder)
        assert shell.out == ""


class TestBaseline:
    def test_is_written_with_a_word_about_it(self, shell: Shell) -> None:
        shell.write("data.jsonl", rows(60))
        assert shell.run("baseline", "--input=data.jsonl", "--output=b.json") == 0
        made = load_baseline(Path("b.json"))
        assert shell.err == f"m: baseline {made.id} of 60 rows and 3 fields, 2 classes\n"
        assert shell.out == ""

    def test_goes_to_stdout_by_default(self, shell: Shell) -> None:
        shell.write("data.jsonl", rows(60))
        assert shell.run("baseline", "--input=data.jsonl") == 0
        assert json.loads(shell.out)["format"] == "ml-exporter-baseline/1"

    def test_tells_of_rejected_rows(self, shell: Shell) -> None:
        shell.write("data.jsonl", '{"p": "a", "y": "a", "x": 1}\n{broken\n')
        assert shell.run("baseline", "--input=data.jsonl") == 0
        assert shell.err.endswith("m: 1 rows rejected: malformed\n")

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (["--input=none.jsonl"], "{folder}/none.jsonl: no such file"),
            (["--input=none*.jsonl"], "none*.jsonl: no"),
            (["--input=log.jsonl", "--model=x"], "ml-exporter.yml: no model 'x'; there are m"),
            (["--input=log.jsonl", "--output=no/b.json"], "no/b.json: no such file or directory"),
            (["--input=bad.jsonl"], "bad.jsonl: has no field 'x'; there are p, y"),
        ],
    )
    def test_minds(self, shell: Shell, arguments: list[str], error: str) -> None:
        shell.write("bad.jsonl", [{"p": "a", "y": "a"}])
        assert shell.run("baseline", *arguments) == 1
        assert shell.err.startswith(
            error.format(folder=shell.folder).removeprefix(f"{shell.folder}/")
        )
        assert shell.err.count("\n") == 1

    def test_asks_which_of_several_models(self, shell: Shell) -> None:
        shell.write("ml-exporter.yml", CONFIG + OTHER)
        assert shell.run("baseline", "--input=log.jsonl") == 1
        assert shell.err == "ml-exporter.yml: --model is needed; there are m, n\n"
        assert shell.run("baseline", "--model=m", "--input=log.jsonl") == 0


class TestCheck:
    def test_prints_a_line_a_model(self, shell: Shell) -> None:
        shell.write("ml-exporter.yml", CONFIG + OTHER)
        assert shell.run("check") == 0
        assert [line.split(" ")[:3] for line in shell.out.splitlines()] == [
            ["m:", "task=binary", "version=unversioned"],
            ["n:", "task=multiclass", "version=unversioned"],
        ]
        assert shell.err == ""

    def test_prints_every_error_on_stderr(self, shell: Shell) -> None:
        text = CONFIG.replace("    source", "    baseline: b.json\n    source") + OTHER
        shell.write("ml-exporter.yml", text)
        assert shell.run("check") == 1
        assert shell.out.startswith("n: ")
        path = f"{shell.folder}/b.json"
        assert shell.err == (
            f"ml-exporter.yml:5: models[0].baseline: {path}: no such file; "
            "`ml-exporter baseline` makes it\n"
        )

    def test_prints_a_note_of_what_has_no_effect_yet(self, shell: Shell) -> None:
        shell.write("ml-exporter.yml", CONFIG + "    thresholds: {support: {warning: 3}}\n")
        assert shell.run("check") == 0
        assert shell.err.startswith("ml-exporter.yml:7: models[0].thresholds.support: ")


class TestRun:
    """What keeps the exporter from starting; tests/service/test_service.py runs it."""

    @pytest.mark.parametrize(
        ("config", "error"),
        [
            (CONFIG + "stat: {path: state}\n", "ml-exporter.yml:7: stat: unknown key; did you"),
            (CONFIG + "state: {path: log.jsonl}\n", "{folder}/log.jsonl: is a file, and must be"),
        ],
    )
    def test_is_one_line(self, shell: Shell, config: str, error: str) -> None:
        shell.write("ml-exporter.yml", config)
        assert shell.run("run", "--web.listen-address=127.0.0.1:0") == 1
        assert shell.err.startswith(error.format(folder=shell.folder))
        assert shell.err.count("\n") == 1

    def test_may_be_the_web_configuration(self, shell: Shell) -> None:
        shell.write("web.yml", "basic_auth_users: {ops: plain}\n")
        assert shell.run("run", "--web.config.file=web.yml") == 1
        assert shell.err.startswith("web.yml:1: basic_auth_users.ops: must be a bcrypt hash")


class TestProcess:
    def test_a_reader_may_go_away(self, shell: Shell) -> None:
        # A reader that reads nothing, and more than a pipe holds.
        names = [f"feature {number}" for number in range(50)]
        shell.write("log.jsonl", [{"p": "a"} | dict.fromkeys(names, n) for n in range(60)])
        config = CONFIG.replace("[x]}", f"{json.dumps(names)}}}\n    learn: {{rows: 50}}")
        shell.write("ml-exporter.yml", config)
        with subprocess.Popen(
            [sys.executable, "-m", "ml_exporter", "run", "--once"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 1

    @pytest.mark.parametrize("command", ["check", "run --once"])
    def test_no_server_is_imported_for(self, shell: Shell, command: str) -> None:
        script = f"""
import sys
from ml_exporter.cli import main
main({command.split()!r})
heavy = {{"flask", "cheroot", "scipy.stats", "pandas", "sklearn", "prometheus_client", "bcrypt"}}
print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert done.stderr == "\n"


@pytest.mark.parametrize("flag", ["--once", "--web.listen-address=192.0.2.1:1"])
def test_nothing_of_a_proxy_is_imported_without_one(shell: Shell, flag: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "ml_exporter", "run", flag]
    done = subprocess.run(command, check=False, cwd=shell.folder, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "ml_exporter.pipeline.pipeline" in imported
    of_the_proxy = {
        "asyncio",
        "ml_exporter.proxy",
        "ml_exporter.service.supervisor",
        "ml_exporter.formats.protocols",
    }
    assert imported & of_the_proxy == set()

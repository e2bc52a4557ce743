import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent, indent

import pytest

from ml_exporter.columns import category_name
from ml_exporter.config.config import (
    Access,
    Config,
    ConfigError,
    Fields,
    FileSource,
    Labels,
    Limits,
    Model,
    Mute,
    Threshold,
    VersionField,
    load,
)

BAD_CONFIGS = Path(__file__).parent / "bad_configs"

SMALLEST = """\
name: credit
task: binary
positive: 1
source: {type: file, path: logs/credit.jsonl}
fields: {prediction: predicted}
"""


def model_yaml(*changes: str) -> str:
    """The smallest model, with some of its keys replaced by other lines."""
    lines = dict.fromkeys(SMALLEST.splitlines())
    for change in changes:
        key = change.partition(":")[0]
        lines = {line: None for line in lines if line.partition(":")[0] != key} | {change: None}
    return "models:\n  -\n" + indent("\n".join(lines) + "\n", "    ")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load_text(text: str, environment: dict[str, str] | None = None) -> Config:
    Path("ml-exporter.yml").write_text(dedent(text), encoding="utf-8")
    return load("ml-exporter.yml", environment or {})


def load_model(*changes: str) -> Model:
    return load_text(model_yaml(*changes)).models[0]


def errors_of(path: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environment or {})
    assert str(caught.value) == "\n".join(caught.value.errors)
    return caught.value.errors


# Good files


def test_the_smallest_file_has_these_defaults(folder: Path) -> None:
    assert load_text(model_yaml()) == Config(
        path=Path("ml-exporter.yml"),
        models=(
            Model(
                name="credit",
                task="binary",
                source=FileSource(str(folder / "logs/credit.jsonl"), "jsonl", start=None),
                fields=Fields(prediction="predicted"),
                version=None,
                positive="1",
                baseline=None,
                learn_rows=2000,
                types={},
                labels=None,
                bins=10,
                false_alarms=0.01,
                thresholds=(),
                thresholds_off=frozenset(),
            ),
        ),
        limits=Limits(series=40_000, versions=5, categories=50),
        access=Access(tokens=(), users={}),
        state=None,
        notes=(),
    )


@pytest.mark.parametrize(
    ("path", "log_format"),
    [
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.json", "jsonl"),
        ("logs/*.CSV", "csv"),
        ("**/a.tsv", "tsv"),
    ],
)
def test_the_extension_tells_the_format(path: str, log_format: str) -> None:
    assert load_model(f"source: {{type: file, path: '{path}'}}").source.format == log_format


def test_a_format_that_is_named_wins() -> None:
    source = load_model("source: {type: file, path: a.jsonl, format: csv, from: end}").source
    assert (source.format, source.start) == ("csv", "end")


def test_paths_are_relative_to_the_file_and_its_folder_is_no_glob(folder: Path) -> None:
    text = model_yaml("source: {type: file, path: 'logs/*.csv'}", "baseline: b.json")
    Path("[prod]").mkdir()
    Path("[prod]/x.yml").write_text(text + "state: {path: ../state}\n")
    config = load("[prod]/x.yml")
    assert config.models[0].source.path == f"{folder}/[[]prod]/logs/*.csv"
    assert config.models[0].baseline == folder / "[prod]/b.json"
    assert config.state == folder / "[prod]/../state"


def test_absolute_paths_stay() -> None:
    model = load_model("source: {type: file, path: '/logs/*.csv'}", "baseline: /b.json")
    assert (model.source.path, model.baseline) == ("/logs/*.csv", Path("/b.json"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("+7", 7),
        ("1.0", 1.0),
        ("-2.50", -2.5),
        ("1_000", 1000),
        ("1.0e+3", 1000.0),
        ("true", True),
        ("False", False),
        ('"1"', "1"),
        ('"1.0"', "1.0"),
        ('"True"', "True"),
        ("fraud", "fraud"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("2024-06-01", "2024-06-01"),
        ('"<none>"', "<none>"),
    ],
)
def test_a_class_has_the_name_that_it_has_in_a_batch(text: str, value: object) -> None:
    assert load_model(f"positive: {text}").positive == category_name(value)


@pytest.mark.parametrize(
    ("task", "score", "scores"),
    [
        ("binary", "probability", {"1": "probability"}),
        ("binary", "{path: probs, classes: [0, 1]}", {"1": "probs.1"}),
        ("binary", "{0: p.no, 1: p.yes}", {"1": "p.yes"}),
        ("multiclass", "{a: scores.a, b: scores.b}", {"a": "scores.a", "b": "scores.b"}),
        ("multiclass", "{path: p, classes: [a, b, c]}", {"a": "p.0", "b": "p.1", "c": "p.2"}),
        ("multiclass", "{true: t, no: n}", {"true": "t", "no": "n"}),
    ],
)
def test_scores(task: str, score: str, scores: dict[str, str]) -> None:
    positive = "positive: 1" if task == "binary" else "positive: ~"
    model = load_model(f"task: {task}", positive, f"fields: {{prediction: p, score: {score}}}")
    assert model.fields.scores == scores


@pytest.mark.parametrize(
    ("features", "paths"),
    [
        ("{age: inputs.age, years: inputs.age}", {"age": "inputs.age", "years": "inputs.age"}),
        ("[age, 7, on]", {"age": "age", "7": "7", "on": "on"}),
        ("{}", {}),
        ("~", None),
    ],
)
def test_features(features: str, paths: dict[str, str] | None) -> None:
    model = load_model(f"fields: {{prediction: p, features: {features}}}")
    assert model.fields.features == paths


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3", "3"),
        ("1.10", "1.10"),
        ('"2024-06"', "2024-06"),
        ("{field: meta.version}", VersionField("meta.version")),
    ],
)
def test_versions(version: str, expected: object) -> None:
    assert load_model(f"version: {version}").version == expected


def test_a_baseline_for_each_version(folder: Path) -> None:
    model = load_model("baseline: {3: a.json, '4': b.json}")
    assert model.baseline == {"3": folder / "a.json", "4": folder / "b.json"}


def test_a_regression_model_needs_neither_classes_nor_scores() -> None:
    assert load_model("task: regression", "positive: ~").task == "regression"


def test_labels_wait_a_month_by_default(folder: Path) -> None:
    model = load_model(
        "fields: {id: id, prediction: p}",
        "labels: {source: {type: file, path: l.csv}, fields: {id: id, label: y}, settle: 1h30m}",
    )
    assert model.labels is not None
    assert model.labels == Labels(
        FileSource(f"{folder}/l.csv", "csv"), model.labels.fields, wait=2_592_000, settle=5400
    )


def test_mutes_end_at_the_beginning_of_a_day_or_at_a_time_or_never() -> None:
    model = load_model(
        "mute: [{fields: [age], until: 2026-12-01}, {monitors: [psi, f1]}, "
        "{fields: [age, label], monitors: [psi], until: 2026-12-01T12:00:00+02:00}]"
    )
    assert model.mutes == (
        Mute(("age",), None, 1_796_083_200),
        Mute(None, ("psi", "f1"), math.inf),
        Mute(("age", "label"), ("psi",), 1_796_119_200),
    )


def test_thresholds_have_the_role_of_their_field() -> None:
    model = load_model(
        "thresholds: {f1: {critical: 1e-1}, unseen_z: false, psi: {warning: -.5, "
        "fields: {age: {critical: 4}, label: {warning: 1_0.5}}}}"
    )
    assert model.thresholds == (
        Threshold("f1", "critical", 0.1),
        Threshold("psi", "warning", -0.5),
        Threshold("psi", "critical", 4.0, role="feature", field="age"),
        Threshold("psi", "warning", 10.5, role="label", field="label"),
    )
    assert model.thresholds_off == {"unseen_z"}


def test_variables_come_from_the_environment() -> None:
    text = model_yaml("name: model-${A}-${B}", "bins: ${BINS}") + (
        'state: {path: "/${A}"}\naccess: {users: {"${A}": [admin]}}\n'
    )
    config = load_text(text, {"A": "${B}", "B": "$b", "BINS": "20"})
    assert config.models[0].name == "model-${B}-$b"
    assert config.models[0].bins == 20
    assert config.state == Path("/${B}")
    assert config.access.users == {"${B}": {"admin"}}


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_EXPORTER_TEST_NAME", "kredit")
    Path("x.yml").write_text(model_yaml("name: ${ML_EXPORTER_TEST_NAME}"))
    assert load(Path("x.yml")).models[0].name == "kredit"


def test_models_share_what_they_merge() -> None:
    config = load_text(
        """\
        models:
          - &first
            name: a
            task: binary
            positive: 1
            source: &source {type: file, path: a.csv}
            fields: {prediction: p}
            bins: 20
          - <<: [{bins: 30, learn: {rows: 60}}, *first]
            name: b
            source: {<<: *source, path: b.csv}
        """
    )
    first, second = config.models
    assert (second.name, second.positive, second.bins, second.learn_rows) == ("b", "1", 30, 60)
    assert second.source.path == first.source.path.replace("a.csv", "b.csv")


def test_a_bomb_of_merges_is_read_in_no_time() -> None:
    levels = ["l0: &m0 {series: 1000}"]
    levels += [f"l{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, 40)]
    text = model_yaml() + "limits:\n  <<: *m39\n"
    bomb = "\n".join(f"      {level}" for level in levels)
    text = text.replace("    name: credit", f"    types:\n{bomb}\n    name: credit")
    Path("bomb.yml").write_text(text)
    assert all("models[0].types.l" in error for error in errors_of("bomb.yml"))


def test_monitors_of_later_versions_are_noted() -> None:
    text = model_yaml(
        "thresholds: {bias: {critical: 0.8}, drifted_fields: {warning: 3}}",
    )
    assert load_text(text).notes == (
        "ml-exporter.yml:8: models[0].thresholds.bias: has no effect in this version",
        "ml-exporter.yml:8: models[0].thresholds.drifted_fields: has no effect in this version",
    )


def test_a_token_is_not_printed() -> None:
    text = model_yaml() + "access: {tokens: [{token: s3cret, roles: [ingest, admin]}]}\n"
    config = load_text(text)
    assert config.access.tokens[0].token == "s3cret"
    assert config.access.tokens[0].roles == {"ingest", "admin"}
    assert "s3cret" not in repr(config)


# Bad files


@pytest.mark.parametrize("name", sorted(path.name for path in BAD_CONFIGS.iterdir()))
def test_a_bad_file_has_these_errors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file breaks one rule; what it is told stands below it, after `#!`."""
    monkeypatch.chdir(BAD_CONFIGS)
    lines = Path(name).read_text().splitlines()
    expected = [f"{name}:{line[3:]}" for line in lines if line.startswith("#! ")]
    assert expected
    assert errors_of(name, {"EMPTY": ""}) == expected


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "x.yml: is empty"),
        (b"# nothing\n---\n", "x.yml: is empty"),
        (b"models:\n\t- name: a\n", "x.yml:2: a tab can't indent YAML; use spaces"),
        (b"models:\n  - name: caf\xe9\n", "x.yml:2: the byte 0xe9 is not UTF-8"),
        ("models: []".encode("utf-16"), "x.yml:1: the byte 0xff is not UTF-8"),
        (b"a: 1\nb: \x01\n", "x.yml:2: the character U+0001 is not allowed in YAML"),
        (b"[" * 20_000, "x.yml: is nested too deeply"),
        (b"\xef\xbb\xbfmodels: 3\n", "x.yml:1: models: must be a list, not a number"),
        (b"models: 3\r\nlimits: a\r\n", "x.yml:1: models: must be a list, not a number"),
    ],
)
def test_what_is_not_yaml_is_an_error_with_its_line(content: bytes, error: str) -> None:
    Path("x.yml").write_bytes(content)
    assert errors_of("x.yml")[0] == error


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything; for a moment, be somebody else."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_what_can_not_be_read_is_an_error() -> None:
    Path("folder.yml").mkdir()
    Path("loop.yml").symlink_to("loop.yml")
    Path("secret.yml").write_text(model_yaml())
    Path("secret.yml").chmod(0)
    with ordinary_user():
        assert errors_of("secret.yml") == ["secret.yml: no permission to read it"]
    assert errors_of("./missing.yml") == ["./missing.yml: no such file"]
    assert errors_of("secret.yml/x.yml") == ["secret.yml/x.yml: not a directory"]
    assert errors_of("folder.yml") == ["folder.yml: is a directory, not a file"]
    assert errors_of("loop.yml") == ["loop.yml: too many levels of symbolic links"]

import re
from pathlib import Path

import pytest
import yaml

from ml_exporter import access, config, thresholds
from ml_exporter.access import Tls
from ml_exporter.config import (
    Access,
    Config,
    Fields,
    FileSource,
    LabelFields,
    Labels,
    Limits,
    Model,
    Threshold,
    Token,
    VersionField,
)
from ml_exporter.units import parse_duration
from tests.support import ROOT

PAGE = (ROOT / "docs/configuration.md").read_text()
SECTIONS = dict(re.findall(r"^## `<(\w+)>`\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
ENTRY = re.compile(r"^(?:\[ )?([\w-]+):(?:.*\| default = (.*) \])?", re.M)


def documented(section: str) -> dict[str, str]:
    """The keys of a section's grammar, each with its default or nothing."""
    grammar = "".join(re.findall(r"^```yml\n(.*?)^```", SECTIONS[section], re.M | re.S))
    return dict(ENTRY.findall(grammar))


def known() -> dict[str, tuple[str, ...]]:
    return config.KEYS | access.WEB_KEYS


def test_every_section_is_on_the_page_and_no_other() -> None:
    assert set(SECTIONS) == set(known())


@pytest.mark.parametrize("section", known())
def test_every_key_is_on_the_page_and_no_other(section: str) -> None:
    assert sorted(documented(section)) == sorted(known()[section])


DEFAULTS: dict[tuple[str, str], object] = {
    ("model", "bins"): Model.bins,
    ("model", "false_alarms"): Model.false_alarms,
    ("labels", "wait"): Labels.wait,
    ("labels", "settle"): Labels.settle,
    ("limits", "series"): Limits.series,
    ("limits", "versions"): Limits.versions,
    ("limits", "categories"): Limits.categories,
    ("tls_server_config", "client_auth_type"): Tls.client_auth_type,
    ("tls_server_config", "min_version"): Tls.min_version,
    ("tls_server_config", "max_version"): Tls.max_version,
    ("tls_server_config", "prefer_server_cipher_suites"): Tls.prefer_server_cipher_suites,
}


def test_the_defaults_on_the_page_are_those_of_the_code() -> None:
    defaults = {
        (section, key): parse_duration(text) if section == "labels" else yaml.safe_load(text)
        for section in SECTIONS
        for key, text in documented(section).items()
        if text
    }
    assert defaults == DEFAULTS


@pytest.mark.parametrize(
    "name",
    [
        *(key for keys in config.LATER_KEYS.values() for key in keys),
        *(key for keys in access.REFUSED_WEB_KEYS.values() for key in keys),
        *thresholds.MODEL_MONITORS,
        *thresholds.FIELD_MONITORS,
    ],
)
def test_what_has_no_section_of_its_own_is_named(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_smallest_example_is_a_model(tmp_path: Path) -> None:
    path = tmp_path / "ml-exporter.yml"
    path.write_text(EXAMPLES[0])
    (model,) = config.load(path).models
    assert (model.name, model.fields.scores) == ("credit", {"1": "probability"})


def test_the_full_example_is_this_configuration(tmp_path: Path) -> None:
    path = tmp_path / "ml-exporter.yml"
    path.write_text(EXAMPLES[1])
    loaded = config.load(path, {"INGEST_TOKEN": "s3cret"})
    credit, species, topics = loaded.models
    assert credit == Model(
        name="credit",
        version=VersionField("model_version"),
        task="binary",
        positive="1",
        baseline={
            "3": tmp_path / "baselines/credit-3.json",
            "4": tmp_path / "baselines/credit-4.json",
        },
        learn_rows=5000,
        source=FileSource(f"{tmp_path}/logs/credit/*.jsonl", "jsonl", "start"),
        fields=Fields(
            id="request_id",
            timestamp="ts",
            prediction="predicted",
            scores={"1": "probability"},
            features={"age": "inputs.age", "country": "inputs.country", "zip": "inputs.zip"},
        ),
        types={"zip": "category"},
        labels=Labels(
            source=FileSource(f"{tmp_path}/labels/credit/*.csv", "csv"),
            fields=LabelFields("request_id", "actual", "known_at"),
            wait=60 * 86400,
            settle=3600,
        ),
        bins=20,
        false_alarms=0.05,
        thresholds=(
            Threshold("accuracy", "warning", 0.93),
            Threshold("accuracy", "critical", 0.90),
            Threshold("psi", "warning", 0.1),
            Threshold("psi", "critical", 0.2),
            Threshold("psi", "critical", 0.4, "feature", "age"),
            Threshold("psi", "warning", 0.05, "prediction", "prediction"),
        ),
        thresholds_off=frozenset({"unseen_ratio"}),
    )
    assert species == Model(
        name="species",
        version="2024-06",
        task="multiclass",
        source=FileSource(f"{tmp_path}/logs/species.log", "csv"),
        fields=Fields(
            prediction="species",
            scores={
                "setosa": "probabilities.0",
                "versicolor": "probabilities.1",
                "virginica": "probabilities.2",
            },
            label="actual",
            features={
                name: name
                for name in ("sepal_length", "sepal_width", "petal_length", "petal_width")
            },
        ),
    )
    assert topics.labels == Labels(
        source=FileSource(f"{tmp_path}/labels/topics.tsv", "tsv"),
        fields=LabelFields("request_id", "actual", "known_at"),
        wait=60 * 86400,
        settle=3600,
    )
    assert loaded == Config(
        path=path,
        models=loaded.models,
        limits=Limits(20_000, 3, 30),
        access=Access(
            tokens=(Token("s3cret", frozenset({"ingest"})),),
            users={
                "prometheus": frozenset({"scrape"}),
                "ops": frozenset({"scrape", "admin"}),
            },
        ),
        state=tmp_path / "state",
        notes=(),
    )


def test_the_examples_use_every_key() -> None:
    used = set(re.findall(r"([\w-]+):", "".join(EXAMPLES)))
    assert {key for keys in config.KEYS.values() for key in keys} <= used

import re
from pathlib import Path

import pytest
import yaml

from ml_exporter import access
from ml_exporter.access import Tls
from ml_exporter.config import config, field_paths, thresholds
from ml_exporter.config.config import (
    Access,
    Config,
    Constraint,
    DeadLetters,
    EventSource,
    Fields,
    FileSource,
    KafkaSource,
    LabelFields,
    Labels,
    Limits,
    LineLog,
    Model,
    Mute,
    Notable,
    OutcomeValues,
    ProxySettings,
    ProxySource,
    Segment,
    SqlSource,
    Threshold,
    Token,
    VersionField,
)
from ml_exporter.config.proxy_settings import Endpoint, ModelName, UpstreamTls
from ml_exporter.config.units import parse_duration, parse_size
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
    ("model", "wait"): Model.wait,
    ("ranked", "depth"): field_paths.RANKED_DEPTH,
    ("labels", "wait"): Labels.wait,
    ("labels", "settle"): Labels.settle,
    ("limits", "series"): Limits.series,
    ("limits", "versions"): Limits.versions,
    ("limits", "categories"): Limits.categories,
    ("limits", "pending"): Limits.pending,
    ("limits", "pending_size"): Limits.pending_size,
    ("event_source", "format"): EventSource.format,
    ("event_source", "buffer"): EventSource.buffer,
    ("kafka_source", "group"): KafkaSource.group,
    ("kafka_source", "format"): KafkaSource.format,
    ("sql_source", "interval"): SqlSource.interval,
    ("proxy_source", "format"): ProxySource.format,
    ("proxy_source", "version_header"): ProxySource.version_header,
    ("proxy", "listen_address"): ProxySettings.listen_address,
    ("proxy", "health_address"): ProxySettings.health_address,
    ("proxy", "body_limit"): ProxySettings.body_limit,
    ("proxy", "buffer"): ProxySettings.buffer,
    ("proxy", "drain"): ProxySettings.drain,
    ("proxy", "grace"): ProxySettings.grace,
    ("proxy", "client_timeout"): ProxySettings.client_timeout,
    ("proxy", "connect_timeout"): ProxySettings.connect_timeout,
    ("proxy", "answer_timeout"): ProxySettings.answer_timeout,
    ("upstream_tls", "min_version"): UpstreamTls.min_version,
    ("upstream_tls", "insecure_skip_verify"): UpstreamTls.insecure_skip_verify,
    ("notable_log", "rate"): LineLog.rate,
    ("notable_log", "size"): LineLog.size,
    ("dead_letters", "rate"): DeadLetters.rate,
    ("dead_letters", "size"): DeadLetters.size,
    ("tls_server_config", "client_auth_type"): Tls.client_auth_type,
    ("tls_server_config", "min_version"): Tls.min_version,
    ("tls_server_config", "max_version"): Tls.max_version,
    ("tls_server_config", "prefer_server_cipher_suites"): Tls.prefer_server_cipher_suites,
}


def parse_default(text: str) -> object:
    for parse in (parse_duration, parse_size):
        try:
            return parse(text)
        except ValueError:
            continue
    return yaml.safe_load(text)


def test_the_defaults_on_the_page_are_those_of_the_code() -> None:
    defaults = {
        (section, key): parse_default(text)
        for section in SECTIONS
        for key, text in documented(section).items()
        if text
    }
    assert defaults == DEFAULTS


@pytest.mark.parametrize(
    "name",
    [
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
    loaded = config.load(
        path,
        {"INGEST_TOKEN": "s3cret", "KAFKA_PASSWORD": "hush", "DB_URL": "sqlite:///labels.db"},
    )
    credit, species, topics, spam, films, tickets, prices, fraud = loaded.models
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
            attributions={"age": "shap.age", "country": "shap.country", "zip": "shap.zip"},
            trace="trace_id",
        ),
        types={"zip": "category"},
        labels=Labels(
            source=FileSource(f"{tmp_path}/labels/credit/*.csv", "csv"),
            fields=LabelFields("request_id", "actual", "known_at"),
            wait=60 * 86400,
            settle=3600,
        ),
        bins=20,
        segments=(
            Segment(("country",)),
            Segment(("country", "age")),
            Segment(("zip",), protected=True),
        ),
        constraints=(
            Constraint("age", min=18, max=120, required=True),
            Constraint("country", values=frozenset({"DE", "FR"})),
            Constraint("zip", pattern="[0-9]{5}"),
            Constraint("score", min=0, max=1),
        ),
        outcome_values=OutcomeValues(
            "EUR",
            {
                "true_positive": 30,
                "false_positive": -5,
                "true_negative": 0,
                "false_negative": -120,
            },
            positive="1",
        ),
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
        mutes=(Mute(("zip",), ("psi", "unseen_ratio"), until=1_796_083_200),),
        wait=172_800,
        notable=Notable(0.1, ("id", "age", "prediction"), ("@", "[0-9]{8,}")),
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
        segments=(Segment(("petal_length", "petal_width")),),
        notable=Notable(),
        outcome_values=OutcomeValues(
            "points", cells={("setosa", "setosa"): 1, ("setosa", "virginica"): -2}
        ),
    )
    assert topics.source == FileSource(
        f"{tmp_path}/logs/topics.tsv",
        "tsv",
        columns=("id", "topic", "scores.sports", "scores.politics"),
    )
    assert topics.labels == Labels(
        source=EventSource(),
        fields=LabelFields("request_id", "actual", "known_at"),
        wait=60 * 86400,
        settle=3600,
    )
    assert spam.source == KafkaSource(
        brokers=("kafka-0:9092", "kafka-1:9092"),
        topic="predictions",
        group="monitoring",
        format="open-inference",
        start="start",
        options=(
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "monitoring"),
            ("sasl.password", "hush"),
        ),
    )
    assert spam.fields.decided_by == ("false", "true")
    assert spam.labels == Labels(
        source=SqlSource("sqlite:///labels.db", "labels", "id", interval=60, start="end"),
        fields=LabelFields("request_id", "actual"),
        redis="redis://redis:6379/0",
    )
    assert films.fields.ranked == tuple(f"items.{place}" for place in range(5))
    assert tickets.fields.features == {
        "product": "inputs.product",
        "number": "inputs.number",
        "length": "inputs.body",
        "words": "inputs.body",
        "foreign": "inputs.body",
        "attachments": "inputs.attachments",
        "opened_hour": "inputs.opened",
        "opened_day": "inputs.opened",
    }
    assert tickets.fields.extracted == {
        "length": "length",
        "words": "words",
        "foreign": "non_ascii",
        "attachments": "items",
        "opened_hour": "hour",
        "opened_day": "weekday",
    }
    assert tickets.constraints == (Constraint("number", required=True, unique=True),)
    assert prices.constraints == (
        Constraint("prediction", comparisons=(("above", "cost"), ("at_most", "list_price"))),
        Constraint("bid", comparisons=(("at_least", "reserve"), ("below", "list_price"))),
    )
    assert prices.source == EventSource("cloudevents", buffer=16 << 20)
    assert fraud.source == ProxySource(
        "/v1/models/fraud:predict", "kserve-v1", "X-Revision", probe_rate=0.5
    )
    assert loaded == Config(
        path=path,
        models=loaded.models,
        proxy=ProxySettings(
            upstream=Endpoint("127.0.0.1", 8443, is_tls=True),
            upstream_tls=UpstreamTls(
                ca_file=tmp_path / "certificates/models.pem",
                cert_file=tmp_path / "certificates/proxy.pem",
                key_file=tmp_path / "certificates/proxy-key.pem",
                server_name="models.internal",
                min_version="TLS13",
            ),
            listen_address="127.0.0.1:10059",
            health_address=":10060",
            body_limit=256 << 10,
            buffer=16 << 20,
            share=0.5,
            rate=1000,
            model=ModelName("X-Model-Name", "model"),
            web_config=tmp_path / "proxy-web.yml",
            capture=tmp_path / "shared/capture",
            drain=10,
            grace=60,
            client_timeout=30,
            connect_timeout=2,
            answer_timeout=300,
        ),
        limits=Limits(20_000, 3, 30, pending=1_000_000, pending_size=512 << 20),
        access=Access(
            tokens=(Token("s3cret", frozenset({"ingest"})),),
            users={
                "prometheus": frozenset({"scrape"}),
                "ops": frozenset({"scrape", "admin"}),
            },
        ),
        state=tmp_path / "state",
        notable_log=LineLog(tmp_path / "logs/notable.jsonl", 5, 16 << 20),
        dead_letters=DeadLetters(tmp_path / "logs/rejected.jsonl", 1, 8 << 20, ("@",)),
        notes=(),
    )


def test_the_examples_use_every_key() -> None:
    used = set(re.findall(r"([\w-]+):", "".join(EXAMPLES)))
    assert {key for keys in config.KEYS.values() for key in keys} <= used

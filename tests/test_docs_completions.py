"""docs/completions.md: its configuration is valid; its figures and queries are what there is."""

import re
import textwrap
from pathlib import Path

from ml_exporter.config.config import load
from ml_exporter.rules import rule_files
from ml_exporter.rules.groups import Rule
from tests.recorded import recorded
from tests.support import ROOT

PAGE = (ROOT / "docs/completions.md").read_text()
CONFIGURATION, FIELDS = re.findall(r"```ya?ml\n(.*?)```", PAGE, re.DOTALL)
QUERIES = re.search(r"```promql\n(.*?)```", PAGE, re.DOTALL)
RECORDED = recorded()


def test_its_configuration_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "ml-exporter.yml"
    usual = "    fields: {prediction: finish_reason}\n"
    assert usual in CONFIGURATION
    for text in (CONFIGURATION, CONFIGURATION.replace(usual, textwrap.indent(FIELDS, "    "))):
        file.write_text(text)
        (model,) = load(file).models
        assert "answer_words" in (model.fields.features or ())


def test_figures_and_queries_are_of_series_that_there_are() -> None:
    assert QUERIES is not None
    named = set(re.findall(r"\b(?:model|field):\w+:\w+", QUERIES[1]))
    assert len(named) > 4
    assert named <= RECORDED
    figures = set(re.findall(r"`(model:\w+)`", PAGE))
    assert {f"{name}:{window}" for name in figures for window in ("1h", "24h", "7d")} <= RECORDED


def test_every_figure_of_completions_is_named() -> None:
    of_windows = {
        rule.record
        for group in rule_files()["completions.yml"]
        for rule in group.rules
        if isinstance(rule, Rule) and re.fullmatch(r"model:\w+:24h", rule.record)
    }
    counts = {"model:cut_off_completions:24h", "model:cached_input_tokens:24h"}
    left_out = {*counts, "model:reasoning_output_tokens:24h"}  # what shares are made of
    assert {name for name in of_windows - left_out if f"`{name[:-4]}`" not in PAGE} == set()

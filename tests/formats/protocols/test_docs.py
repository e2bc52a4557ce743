"""What the page of each protocol says of its example is what the example decodes to."""

import re

import pytest

from ml_exporter.columns import category_name
from ml_exporter.config.config import load
from ml_exporter.config.source_settings import FORMATS, PROTOCOLS
from ml_exporter.formats.exchange_lines import ExchangeLines
from ml_exporter.pipeline.streams import prediction_layout
from tests.formats.exchanging import layout, rows
from tests.support import ROOT

PAGES = ROOT / "docs/formats"


def fenced(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def first_table(text):
    """Rows under the names of their columns."""
    lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)[0].splitlines()
    header, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(header, cells, strict=True)) for cells in body]


@pytest.mark.parametrize("format", [name for name in PROTOCOLS if name != "auto"])
def test_example(format, tmp_path):
    page = (PAGES / f"{format}.md").read_text()
    file = tmp_path / "ml-exporter.yml"
    file.write_text(fenced(page, "yaml")[0])
    (model,) = load(file).models
    assert model.source.format == format
    example = fenced(page, "json")[0]
    decoded = ExchangeLines(prediction_layout(model, None), format).decode(example.encode(), True)
    assert not decoded.rejected
    found = [{name: category_name(value) for name, value in row.items()} for row in rows(decoded)]
    assert found == first_table(page.split(example)[1])


def test_the_example_of_a_line():
    example = fenced((PAGES / "index.md").read_text(), "json")[0]
    decoded = ExchangeLines(layout(id="id"), "auto").decode(example.encode(), True)
    assert rows(decoded) == [{"id": "a1", "age": 31, "prediction": 0.93}]
    assert decoded.batch.timestamps.tolist() == [1772366400.0]


def test_every_format_is_on_the_page():
    page = (PAGES / "index.md").read_text()
    assert {name for name in FORMATS if f"`{name}`" in page.split("##")[0]} == set(FORMATS)
    for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", page):
        assert (PAGES / link).exists(), link

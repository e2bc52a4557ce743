import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ml_exporter.families import Family, freeze
from ml_exporter.judgement.history import History
from ml_exporter.publication import Edition
from ml_exporter.web.status import status_pages
from tests.watching import CONFIG, START, Watch, sample

VOID = {"meta", "link", "br", "input", "img", "hr"}


def client(history: History) -> FlaskClient:
    app = Flask("pages")
    app.register_blueprint(status_pages(history))
    return app.test_client()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Watch]]:
    """`start(text)` watches a model until the test ends."""
    with ExitStack() as watches:
        yield lambda *args, **kwargs: watches.enter_context(
            closing(Watch(tmp_path, *args, **kwargs))
        )


@pytest.fixture(autouse=True)
def now(monkeypatch):
    monkeypatch.setattr("ml_exporter.web.status.time.time", lambda: START)


class Page(HTMLParser):
    """The elements and texts of a page; fails where a tag isn't closed by its own."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))


def drifted(start: Callable[..., Watch]) -> Watch:
    watch = start()
    watch.pass_by(1200, sample(2000))
    broken = [row | {"mean texture": None} for row in sample(500, seed=2)]
    watch.pass_by(600, [row | {"predicted": "benign"} for row in broken])
    return watch


def test_the_page_tells_which_model_since_when_which_fields_and_what_to_do(start):
    response = client(drifted(start).history).get("/")
    page = Page(response.text)
    assert "<title>critical · tumours · ML Exporter</title>" in response.text
    assert re.search("critical since about 22:3[2-4]:", page.text)
    assert "tumours version 3" in page.text
    assert "Look at what feeds mean texture first" in page.text
    fields = re.findall(r'<th scope="row"><bdi>([^<]*)</bdi>', response.text)
    assert fields[:2] == ["mean texture", "prediction"]
    assert set(fields[2:]) == {"mean radius", "mean smoothness", "mean symmetry", "score", "label"}
    assert "20\N{NO-BREAK SPACE}% missing, 0\N{NO-BREAK SPACE}% in the baseline." in response.text
    assert 'aria-label="accuracy between 0.' in response.text


def test_the_page_names_alerts_and_shows_why(start):
    html = client(drifted(start).history).get("/").text
    alerts = re.findall(r"<strong>(\w+)</strong>", html)
    assert {"FeatureDrift", "DataIntegrityViolations"} <= {*alerts}
    why = html[html.index('<tr class="detail">') :]
    assert 'aria-label="Shares of the values of mean texture, in the baseline and now"' in why
    gained = r'gained</th></tr>\s*<tr><td>missing</td><td class="n">0 %</td><td class="n">20 %</td>'
    assert re.search(gained, why)
    assert re.search(r"\d\w\w of 4 by importance: tells [\d.]+\W% of the prediction", html)


def test_the_page_of_a_healthy_model(start):
    watch = start()
    watch.append(sample(1500))
    page = Page(client(watch.history).get("/").text)
    assert "Nothing is beyond its threshold" in page.text
    assert "7 fields with nothing beyond its threshold" in page.text
    assert "critical since" not in page.text


def test_states_are_words_and_shapes(start):
    html = client(drifted(start).history).get("/").text
    marks = re.findall(r'<span class="mark ([\w-]+)"><svg[^>]*>(.*?)</svg>([\w ]+)</span>', html)
    assert {(kind, word) for kind, _, word in marks} >= {("critical", "critical"), ("ok", "ok")}
    assert len({shape for _, shape, _ in marks}) == len({kind for kind, _, _ in marks})


HOSTILE = """<script>alert(1)</script>"'&`</bdi>\u202e"""


def test_names_from_logs_are_only_text(start):
    text = (
        CONFIG.replace("tumours", json.dumps("<b>&'m"))
        .replace("features: [", f"features: [{json.dumps(HOSTILE)}, ")
        .replace('"3"', '"<i>"')
    )
    categories = [row | {HOSTILE: "<img src=x>"} for row in sample(600)]
    watch = start(text, training=categories)
    watch.append([row | {HOSTILE: None} for row in sample(1200)])
    response = client(watch.history).get("/")
    page = Page(response.text)
    assert not {"b", "i", "img"} & {tag for tag, _ in page.elements}
    assert [attrs for tag, attrs in page.elements if tag == "script"] == [
        {"src": "/assets/status.js", "defer": None}
    ]
    assert HOSTILE in page.text
    assert "<img src=x>" in page.text


def test_half_a_surrogate_pair_in_a_name_spoils_nothing():
    family = Family("ml_model_info", "", "gauge", ("model", "version", "task", "positive"))
    family.set(1, "m\ud800", "1", "binary", "")
    history = History()
    history.add(Edition(1, freeze([family])), START)
    pages = client(history)
    assert "<bdi>m?</bdi>" in pages.get("/").text
    assert pages.get("/api/v1/status").status_code == 200


def test_nothing_is_loaded_from_elsewhere_and_no_style_is_inline(start):
    pages = client(drifted(start).history)
    response = pages.get("/")
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-store"
    for tag, attrs in Page(response.text).elements:
        assert "style" not in attrs
        assert tag != "style"
        assert not [name for name in attrs if name.startswith("on")]
        for link in (attrs.get("src"), attrs.get("href")):
            assert link is None or not re.match(r"(\w+:)?//", link)
            if link and link.startswith("/assets/"):
                with pages.get(link) as file:
                    assert file.status_code == 200


def test_without_javascript_the_page_loads_itself_anew(start):
    html = client(History()).get("/").text
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in html


def test_before_anything_is_published():
    pages = client(History())
    assert "Nothing has been counted yet: the exporter is starting, " in pages.get("/").text
    assert pages.get("/api/v1/status").json["models"] == []


def test_old_counts_are_called_old(start, monkeypatch):
    watch = start()
    monkeypatch.setattr("ml_exporter.web.status.time.time", lambda: START + 300)
    page = Page(client(watch.history).get("/").text)
    assert "Nothing was counted for 5 min: what you see is old." in page.text


@pytest.mark.parametrize(
    ("minutes", "rows", "default", "useful"),
    [
        (3, 2000, "1h", ["5m", "1h"]),
        (20, 2000, "1h", ["5m", "1h"]),
        (90, 2000, "1h", ["5m", "1h", "24h"]),
        (90, 900, "24h", ["5m", "1h", "24h"]),
    ],
)
def test_the_window_is_an_hour_or_a_day_if_that_has_too_few_rows(
    start, minutes, rows, default, useful
):
    watch = start()
    watch.pass_by(minutes * 60)
    watch.append(sample(rows))
    pages = client(watch.history)
    assert pages.get("/api/v1/status").json["window"]["name"] == default
    html = pages.get("/").text
    assert re.findall(r'href="\?window=(\w+)"', html) == useful
    assert f'href="?window={default}" aria-current="page"' in html


def test_the_status_as_json(start):
    watch = drifted(start)
    status = client(watch.history).get("/api/v1/status?window=5m").json
    assert status["state"] == "critical"
    assert status["window"] == {
        "name": "5m", "start": watch.now - 300, "end": watch.now, "complete": True,
    }  # fmt: skip
    (model,) = status["models"]
    (version,) = model["versions"]
    assert (model["model"], version["version"]) == ("tumours", "3")
    assert version["predictions"] == 250
    assert version["performance"]["recall"]["value"] == 0
    assert version["performance"]["accuracy"]["thresholds"] == {"warning": 0.9, "critical": 0.8}
    texture = version["fields"][0]
    assert texture["field"] == "mean texture"
    assert texture["explanation"] == "100 % missing, 0 % in the baseline."
    assert texture["shares"]["missing"]["ratio"] == 1
    assert texture["location_shift"] is None
    assert texture["bins"][-2] == {"bin": "<missing>", "rows": 250, "baseline_rows": 0}
    assert texture["since"]["seen"] is True


@pytest.mark.parametrize("path", ["/", "/api/v1/status"])
def test_a_window_that_is_none(path):
    response = client(History()).get(f"{path}?window=2h")
    assert (response.status_code, response.text) == (400, "window must be one of 5m, 1h, 24h\n")


def test_a_field_that_was_renamed(start):
    watch = start(CONFIG + "    constraints: {mean radius: {max: 15}}\n")
    always = {"debug": 1}  # which nobody reads, and which was always there
    watch.pass_by(1200, [row | always for row in sample(1200)])
    for row in (rows := sample(600)):
        row.update(always | {"<b>texture": row.pop("mean texture")})
    watch.pass_by(600, rows)
    response = client(watch.history).get("/")
    page = Page(response.text)
    assert "mean texture went when <b>texture came: most likely renamed." in page.text
    assert "is gone" in page.text
    assert "violates max" in page.text
    assert "<code>&lt;b&gt;texture</code>" in response.text
    (model,) = client(watch.history).get("/api/v1/status").json["models"]
    (version,) = model["versions"]
    found = {(one["field"], one["violation"]): one["state"] for one in version["violations"]}
    assert found == {
        ("mean texture", "missing_field"): "critical",
        ("<b>texture", "extra_field"): "ok",
        ("debug", "extra_field"): "ok",
        ("mean radius", "max"): "critical",
    }
    assert version["renaming"].startswith("`mean texture` went when")
    assert (model["duplicate_predictions"], model["predictions_from_the_future"]) == (0, 0)


def test_violations_as_sagemaker_has_them(start):
    pages = client(drifted(start).history)
    response = pages.get("/api/v1/constraint_violations?window=1h")
    assert response.content_type == "application/json"
    (missing,) = response.json["violations"]
    assert missing["feature_name"] == "mean texture"
    assert missing["constraint_check_type"] == "completeness_check"
    named = pages.get("/api/v1/constraint_violations?window=1h&model=tumours&version=3")
    assert named.json == response.json


@pytest.mark.parametrize("query", ["model=other", "version=4", "model=tumours&version=4"])
def test_violations_of_no_model_that_there_is(start, query):
    response = client(start().history).get(f"/api/v1/constraint_violations?{query}")
    assert response.status_code == 404
    assert response.text == "model and version must name one of those there are: tumours 3\n"

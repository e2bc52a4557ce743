"""The committed dashboards are the built ones, and ask for nothing that isn't there.

Grafana itself isn't here to load them (see docs/untested.md); the end-to-end test runs their
queries.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from ml_exporter.baseline import baseline
from ml_exporter.commands.training import profile
from ml_exporter.config.config import load
from ml_exporter.dashboards.assembly import to_text
from ml_exporter.dashboards.docs import panels_as_tables
from ml_exporter.dashboards.files import dashboards
from ml_exporter.dashboards.queries import MAY_BE_EMPTY, panel_queries, panels, variables_of
from ml_exporter.monitors.completions import Completions
from ml_exporter.monitors.exporter import ExporterInfo
from ml_exporter.pipeline.given_baselines import given_baselines
from ml_exporter.pipeline.pipeline import Pipeline
from ml_exporter.pipeline.version import Budget
from ml_exporter.rules import Links, rule_files
from ml_exporter.rules.groups import Alert
from ml_exporter.rules.timing import WINDOWS
from ml_exporter.service.proxied import Proxied
from ml_exporter.sources.capture import Attachment
from ml_exporter.store.store import Store
from tests.recorded import recorded
from tests.support import ROOT, find_tool

FOLDER = ROOT / "grafana/dashboards"
BUILT = dashboards()
OVERVIEW = BUILT["overview"]
PANELS = {
    name: [panel for panel in panels(built) if panel["type"] != "row"]
    for name, built in BUILT.items()
}
ALL_PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, of_dashboard in PANELS.items()
    for panel in of_dashboard
]
ANNOTATIONS = OVERVIEW["annotations"]["list"]
CHOSEN = {"model": "credit", "role": "feature", "field": "age"}

# Set by Grafana for time ranges, steps and links.
BUILT_IN = {"__rate_interval", "__data", "__url_time_range"}
# Made by Prometheus.
OF_PROMETHEUS = {"up", "ALERTS", "ALERTS_FOR_STATE"}
EXPRESSIONS = sorted(
    {
        query.expr
        for built in BUILT.values()
        for window in WINDOWS
        for query in panel_queries(built, window=window, **CHOSEN)
    }
)

of_each = pytest.mark.parametrize("name", BUILT)


def by_title(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["title"]: item for item in items}


def variables(name: str) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in BUILT[name]["templating"]["list"]}


def strings(node: object) -> Iterator[str]:
    """Every text in a JSON document."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


def series_of(expr: str) -> set[str]:
    """Names of the series that an expression selects: here, all have a selector in braces."""
    return set(re.findall(r"([a-zA-Z_][\w:]*)\{", expr))


@of_each
def test_committed_file_is_what_is_built(name):
    built = BUILT[name]
    assert (FOLDER / f"{built['uid']}.json").read_text() == to_text(built), "run make generate"


@of_each
def test_docs_explain_every_panel(name):
    page = (ROOT / "docs/dashboards.md").read_text()
    assert panels_as_tables(BUILT[name]) in page, "run make generate"


@of_each
def test_types_of_grafana_read_it_back(name):
    """Nothing is unknown to them but texts of annotations, a null id, and XY charts of today."""
    register_default_plugins()
    built = BUILT[name]
    read = json.loads(json.dumps(Dashboard.from_json(built), cls=JSONEncoder))
    for annotation, original in zip(read["annotations"]["list"], ANNOTATIONS, strict=True):
        annotation |= {key: original[key] for key in ("titleFormat", "textFormat")}
    for panel, original in zip(read["panels"], built["panels"], strict=True):
        if panel["type"] == "xychart":
            panel["options"] = original["options"]
    read["templating"] = built["templating"]  # less defaults that are no variable's
    assert {"id": None, **read} == built


def test_exporter_runs_without_grafana_types():
    """They are an extra: whoever runs the exporter hasn't got them."""
    code = (
        "import sys, ml_exporter.cli, ml_exporter.service.service, ml_exporter.dashboards.queries;"
        "sys.exit('grafana_foundation_sdk' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@of_each
def test_dashboard_can_be_provisioned(name):
    built = BUILT[name]
    assert built["uid"] == f"ml-exporter-{name}"
    assert len(built["uid"]) <= 40
    assert built["id"] is None
    assert built["editable"] is False
    assert built["schemaVersion"] == 42
    assert built["timezone"] == "browser"


def test_dashboards_link_to_each_other():
    """With what is chosen: each has the variables that the other one needs."""
    for name, others in (
        ("overview", ("performance", "drift", "completions")),
        ("performance", ("overview",)),
        ("drift", ("overview",)),
        ("completions", ("overview",)),
    ):
        to_others = [one for one in BUILT[name]["links"] if one["url"].startswith("/d/")]
        assert [one["url"] for one in to_others] == [f"/d/{BUILT[o]['uid']}" for o in others]
        assert all(one["includeVars"] and one["keepTime"] for one in to_others)
    shared = set.intersection(*(set(variables(name)) for name in BUILT))
    assert shared == {"datasource", "job", "namespace", "model", "version", "window"}


def test_alerts_link_to_it():
    url = Links().dashboard()
    assert f"/d/{OVERVIEW['uid']}" in url
    assert set(re.findall(r"var-(\w+)=", url)) <= variables("overview").keys()


@of_each
def test_panels_do_not_overlap(name):
    cells = {
        panel["id"]: {
            (x, y)
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        }
        for panel in panels(BUILT[name])
    }
    assert len(cells) == len(list(panels(BUILT[name])))
    assert [pair for pair in combinations(cells, 2) if cells[pair[0]] & cells[pair[1]]] == []
    assert max(x for occupied in cells.values() for x, _ in occupied) == 23


@of_each
def test_titles_are_unique(name):
    assert len(by_title(PANELS[name])) == len(PANELS[name])


def test_panels_that_may_be_empty_exist():
    assert by_title(PANELS["overview"]).keys() >= MAY_BE_EMPTY


@pytest.mark.parametrize("panel", ALL_PANELS)
def test_panel_can_be_read(panel):
    """What Grafana's dashboard-linter asks of a panel."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == chosen
    assert panel["targets"]
    assert all(target["datasource"] == chosen for target in panel["targets"])
    assert panel["description"].endswith(".")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["noValue"]
    assert defaults["thresholds"]["steps"][0]["value"] is None
    if panel["type"] == "table":
        assert all(target["instant"] and target["format"] == "table" for target in panel["targets"])
    if panel["type"] == "timeseries":
        assert all(target["range"] for target in panel["targets"])
        assert panel["options"]["legend"]["calcs"]
    if panel["type"] == "xychart":
        assert all(target["instant"] and target["format"] == "table" for target in panel["targets"])


CHARTS = [one for one in PANELS["performance"] if one["type"] == "xychart"]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart["title"])
def test_charts_draw_a_curve_for_each_name(chart):
    """Rows of the three queries are joined by curve and point, sorted, and parted by curve."""
    x, y, order = (target["expr"] for target in chart["targets"])
    assert all(expr.startswith("max by (curve, at)") for expr in (x, y, order))
    assert [one["id"] for one in chart["transformations"]] == [
        *("merge", "sortBy", "organize", "partitionByValues")
    ]
    _, sort, hide, part = (one["options"] for one in chart["transformations"])
    assert sort["sort"] == [{"field": "Value #C"}]
    assert hide["excludeByName"] == {"Time": True, "Value #C": True}
    assert part["fields"] == ["curve"]
    assert chart["options"]["series"] == [
        {"x": {"matcher": {"id": "byName", "options": "Value #A"}}}
    ]


def test_bands_are_filled_between_the_ends_of_intervals():
    bands = {
        panel["title"]: {
            one["matcher"]["options"]: one for one in panel["fieldConfig"]["overrides"]
        }
        for panel in PANELS["performance"]
        if any(target["legendFormat"] == "upper" for target in panel["targets"])
    }
    assert "Accuracy" in bands
    for overrides in bands.values():
        properties = overrides["/^upper$/"]["properties"]
        assert {"id": "custom.fillBelowTo", "value": "lower"} in properties
        assert "/^lower$/" in overrides


def test_few_labels_are_said_to_be_too_few():
    labels = by_title(PANELS["performance"])["Labels"]
    units = [
        one["value"]
        for override in labels["fieldConfig"]["overrides"]
        for one in override["properties"]
        if one["id"] == "unit"
    ]
    assert units == ["suffix: labels: too few to judge (100)", "suffix: labels"]


@pytest.mark.parametrize("panel", ALL_PANELS)
def test_overrides_are_of_columns_that_there_are(panel):
    renamed = [
        name
        for transformation in panel.get("transformations", ())
        for name in transformation["options"].get("renameByName", {}).values()
    ]
    overridden = [
        override["matcher"]["options"]
        for override in panel["fieldConfig"].get("overrides", ())
        if override["matcher"]["id"] == "byName"
    ]
    sorted_by = [one["displayName"] for one in panel["options"].get("sortBy", ())]
    assert {*overridden, *sorted_by} <= set(renamed)


@of_each
def test_variables_are_defined_before_they_are_used(name):
    known: set[str] = set()
    for variable, definition in variables(name).items():
        assert variables_of(json.dumps(definition)) - {"__all"} <= known
        known.add(variable)
    used = set().union(*map(variables_of, strings([BUILT[name]["panels"], ANNOTATIONS])))
    assert used <= known | BUILT_IN
    assert used >= known


@of_each
def test_every_query_chooses_jobs(name):
    """What the linter asks of queries; .lint says why instances aren't chosen."""
    queries = [target["expr"] for panel in PANELS[name] for target in panel["targets"]]
    queries += [annotation["expr"] for annotation in ANNOTATIONS]
    for expr in queries:
        selectors = re.findall(r"(?<!\$)\{([^}]*)\}", expr.replace("${window}", "24h"))
        assert selectors
        assert all('job=~"$job"' in selector for selector in selectors), expr
        assert set(re.findall(r"(?:rate|increase)\(\w+\{[^}]*\}\[([^]]*)", expr)) <= {
            "$__rate_interval"
        }


@pytest.mark.parametrize("promtool", ["promtool", "prometheus-2.42/promtool"])
def test_prometheus_parses_every_query(tmp_path, promtool):
    rules = [{"record": f"query:{n}", "expr": expr} for n, expr in enumerate(EXPRESSIONS)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run(
        [find_tool(promtool), "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


CONFIGURATION = """\
models:
  - name: credit
    version: "1"
    task: binary
    positive: "yes"
    baseline: baseline.json
    source: {type: file, path: predictions.jsonl}
    fields: {id: id, prediction: predicted, features: {age: age, plan: plan}}
    labels: {source: {type: file, path: labels.jsonl}, fields: {id: id, label: actual}}
"""


def exposed(folder: Path) -> set[str]:
    """Names of all series that the exporter has for a model with a baseline and labels."""
    classes = ["yes", "no"]
    rows = [
        {"age": n, "plan": "ab"[n % 2], "predicted": classes[n % 2], "actual": classes[n % 3 > 1]}
        for n in range(100)
    ]
    training = folder / "training.jsonl"
    training.write_text("".join(json.dumps(row) + "\n" for row in rows))
    configuration = folder / "ml-exporter.yml"
    configuration.write_text(CONFIGURATION)
    (folder / "baseline.json").touch()
    config = load(configuration)
    (model,) = config.models
    made, _ = profile(model, config.limits, str(training), "jsonl")
    (folder / "baseline.json").write_bytes(baseline.encode(made))
    pipeline = Pipeline(
        model,
        config.limits,
        Store(None),
        given_baselines(model),
        follow=False,
        start="start",
        budget=Budget(config.limits.series),
    )
    proxied = Proxied(Attachment(path=folder))
    proxied.follow({"credit": "1"})
    families = [
        *(*pipeline.families, *ExporterInfo().families, *proxied.families),
        *Completions("assistant", "1").families,
    ]
    pipeline.close()
    return {family.name + suffix for family in families for suffix in {"", *family.suffixes}}


def test_every_series_exists(tmp_path):
    asked = set().union(*map(series_of, EXPRESSIONS))
    asked |= set().union(*(series_of(annotation["expr"]) for annotation in ANNOTATIONS))
    for name in BUILT:
        asked |= set().union(*(series_of(one.get("query", "")) for one in variables(name).values()))
    assert asked - OF_PROMETHEUS - recorded() - exposed(tmp_path) == set()


def test_every_alert_is_looked_for():
    alerts = {
        rule.alert
        for groups in rule_files().values()
        for group in groups
        for rule in group.rules
        if isinstance(rule, Alert)
    }
    for expr in EXPRESSIONS:
        for names in re.findall(r'alertname=~"([^"]*)"', expr):
            assert set(names.split("|")) == alerts


def test_queries_have_values_for_variables():
    queries = panel_queries(OVERVIEW, window="7d", __rate_interval="20s", **CHOSEN)
    assert len(queries) == sum(len(panel["targets"]) for panel in PANELS["overview"])
    exprs = {query.panel: query.expr for query in queries}
    assert exprs["Behind the log by model"] == (
        'max by (model) (ml_source_lag_bytes{job=~".+",namespace=~".*"})'
    )
    assert exprs["Rejected share of rows"] == (
        'max(model:rejected_ratio:7d{job=~".+",namespace=~".*",model="credit"})'
    )
    assert "[20s]" in exprs["Label delay"]
    with pytest.raises(KeyError, match="model"):
        panel_queries(OVERVIEW, role="feature", field="age")


PROVISIONING = ROOT / "grafana/provisioning"


def test_data_source_has_keys_that_grafana_knows():
    """https://grafana.com/docs/grafana/latest/administration/provisioning/#data-sources"""
    (source,) = yaml.safe_load((PROVISIONING / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source.keys() <= {
        *("name", "type", "access", "orgId", "uid", "url", "user", "database", "basicAuth"),
        *("basicAuthUser", "withCredentials", "isDefault", "jsonData", "secureJsonData"),
        *("version", "editable"),
    }
    assert source["jsonData"].keys() <= {"httpMethod", "prometheusType", "timeInterval"}
    prometheus = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


def test_provider_has_keys_that_grafana_knows():
    """https://grafana.com/docs/grafana/latest/administration/provisioning/#dashboards"""
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/ml-exporter.yaml").read_text())[
        "providers"
    ]
    assert provider.keys() <= {
        *("name", "orgId", "folder", "folderUid", "type", "disableDeletion"),
        *("updateIntervalSeconds", "allowUiUpdates", "options"),
    }
    assert provider["options"].keys() <= {"path", "foldersFromFilesStructure"}


def test_waived_rules_of_the_linter_have_reasons():
    waived = yaml.safe_load((FOLDER / ".lint").read_text())["exclusions"]
    assert waived.keys() == {"template-instance-rule", "target-instance-rule"}
    assert all(rule["reason"] for rule in waived.values())

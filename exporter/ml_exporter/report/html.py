"""The report as one HTML file that needs nothing else, in the look of the status page."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from ml_exporter import web
from ml_exporter.judgement.trends import Onset
from ml_exporter.judgement.verdicts import FieldVerdict
from ml_exporter.report.judging import ModelReport, Report
from ml_exporter.web.views import FILTERS, FigureView, VersionView


@dataclass(frozen=True)
class LogView(VersionView):
    """A version by its log."""

    of: ModelReport

    @property
    def summary(self) -> str:
        return self.of.summary(self.verdict)

    @property
    def figures(self) -> list[FigureView]:
        return [FigureView(figure) for figure in self.verdict.figures]

    @property
    def onset(self) -> Onset | None:
        return self.of.since(self.verdict)

    def field_since(self, field: FieldVerdict) -> Onset | None:
        return self.of.field_since(self.verdict, field)

    def when(self, onset: Onset) -> str:
        return self.of.when(onset)


def write(report: Report) -> str:
    environment = Environment(
        loader=PackageLoader(web.__name__), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(FILTERS)
    style = resources.files(web).joinpath("static/status.css").read_text()
    views = [
        LogView(model.verdict, version, model)
        for model in report.models
        for version in model.verdict.versions
    ]
    html = environment.get_template("report.html").render(
        report=report, views=views, style=Markup(style)
    )
    # Names come from logs, where there may be halves of surrogate pairs.
    return html.encode("utf-8", "replace").decode()

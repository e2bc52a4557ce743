"""The report as one HTML file that needs nothing else, in the look of the status page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from ml_exporter import web
from ml_exporter.alarms import Alarm
from ml_exporter.report.judging import ModelReport, Report
from ml_exporter.trends import Onset
from ml_exporter.verdicts import FieldVerdict, ModelVerdict, VersionVerdict
from ml_exporter.web.views import FILTERS, FieldView, FigureView, ViolationView


@dataclass(frozen=True)
class VersionView:
    """What the template shows of a version."""

    of: ModelReport
    verdict: VersionVerdict

    @property
    def model(self) -> ModelVerdict:
        return self.of.verdict

    @property
    def summary(self) -> str:
        return self.of.summary(self.verdict)

    @property
    def advice(self) -> list[str]:
        return self.of.advice(self.verdict)

    @property
    def alarms(self) -> list[Alarm]:
        return self.of.alarms(self.verdict)

    @property
    def since(self) -> str:
        return self._told(self.of.since(self.verdict))

    @property
    def figures(self) -> list[FigureView]:
        return [FigureView(figure) for figure in self.verdict.figures]

    @cached_property
    def fields(self) -> list[FieldView]:
        return self._views(self.verdict.fields)

    @cached_property
    def components(self) -> list[FieldView]:
        return self._views(self.verdict.components)

    def _views(self, fields: Iterable[FieldVerdict]) -> list[FieldView]:
        return [
            FieldView(field, self._told(self.of.field_since(self.verdict, field)))
            for field in fields
        ]

    @property
    def violations(self) -> list[ViolationView]:
        return [ViolationView(one) for one in self.verdict.violations]

    def _told(self, onset: Onset | None) -> str:
        return "" if onset is None else self.of.when(onset)


def write(report: Report) -> str:
    environment = Environment(
        loader=PackageLoader(web.__name__), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(FILTERS)
    style = resources.files(web).joinpath("static/status.css").read_text()
    views = [
        VersionView(model, version) for model in report.models for version in model.verdict.versions
    ]
    html = environment.get_template("report.html").render(
        report=report, views=views, style=Markup(style)
    )
    # Names come from logs, where there may be halves of surrogate pairs.
    return html.encode("utf-8", "replace").decode()

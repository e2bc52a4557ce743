"""What alerts are made of: their labels and links, and templates that say what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from ml_exporter.rules.groups import Alert
from ml_exporter.rules.links import Links
from ml_exporter.rules.mutes import unless_waiting
from ml_exporter.rules.timing import Timing, duration


@dataclass(frozen=True)
class Builder:
    """Makes alerts of one timing and set of links."""

    timing: Timing
    links: Links

    def alert(
        self,
        name: str,
        severity: str,
        expr: str,
        *,
        help: str,
        summary: str,
        description: str,
        pending: float | None = None,
        keep_firing: bool = True,
    ) -> Alert:
        return Alert(
            name,
            help,
            unless_waiting(expr),
            {"severity": severity},
            {
                "summary": summary,
                "description": description,
                "runbook_url": self.links.runbook(name),
                "dashboard_url": self.links.dashboard(),
            },
            duration(self.timing.pending if pending is None else pending),
            duration(self.timing.keep_firing) if keep_firing else None,
        )


NAME = "{{ $labels.model }}{{ with $labels.version }} {{ . }}{{ end }}"

# What a template begins with to say `%s` in queries about the alert's model; an absent label is "".
_TARGET = ("model", "version", "job", "namespace", "cluster")


def _about(*labels: str) -> str:
    matchers = ",".join(f"{label}=%q" for label in labels)
    values = " ".join(f"$labels.{label}" for label in labels)
    return f'{{{{ $model := printf "{matchers}" {values} -}}}}\n'


ABOUT_MODEL = _about(*_TARGET)
ABOUT_SOURCE = _about("model", "source_id", "job", "namespace", "cluster")
ABOUT_VERSIONS = _about(*(label for label in _TARGET if label != "version"))


def each(query: str, text: str, *values: str, by: str | None = None) -> str:
    """A template: `text` for each result of a query, with `%s` and `%q` in it for values.

    Prometheus answers in any order, unless the query sorts: `by` is a label to sort by.
    """
    arguments = " ".join(("$model", *values))
    ordered = f' | sortByLabel "{by}"' if by else ""
    return f'{{{{ range printf "{query}" {arguments} | query{ordered} }}}}{text}{{{{ end }}}}'


def number(form: str) -> str:
    return f'{{{{ .Value | printf "{form}" }}}}'


def beyond_thresholds(shortfall: str, severity: str, value: str) -> tuple[str, str]:
    """Templates: the worst figure that is beyond its threshold, and a line for each of them.

    `shortfall` is the series that says by how much; `value` a template of the figure itself.
    """
    of_model = f"{shortfall}{{severity='{severity}',%s}}"
    limit = each(
        f"model:threshold{{severity='{severity}',%s,monitor=%q}}",
        number("%.3f"),
        ".Labels.monitor",
    )
    worst = each(f"topk(1, {of_model})", f"{{{{ .Labels.monitor }}}} is {value}")
    every = each(
        f"sort_desc({of_model})", f"\n- {{{{ .Labels.monitor }}}}: {value}, threshold {limit}"
    )
    return worst, every

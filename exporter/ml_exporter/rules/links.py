"""Where alerts link to: runbooks and the dashboard."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Links:
    """Bases of the links in alerts."""

    runbooks: str = "https://github.com/ml-exporter/ml-exporter/blob/main/docs/runbooks"
    grafana: str = "http://localhost:3000"

    def runbook(self, alert: str) -> str:
        return f"{self.runbooks}/{alert}.md"

    def dashboard(self) -> str:
        """The overview, of the alert's model and version where it has them, as a template."""
        return (
            f"{self.grafana}/d/ml-exporter-overview"
            "{{ with $labels.model }}?var-model={{ . | urlquery }}{{ end }}"
            "{{ with $labels.version }}&var-version={{ . | urlquery }}{{ end }}"
        )

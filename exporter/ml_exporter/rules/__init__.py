"""The recording rules and alerts, generated from one source for any timing."""

from ml_exporter.rules.alertmanager import write_alertmanager
from ml_exporter.rules.files import rule_files, write_rules
from ml_exporter.rules.links import Links
from ml_exporter.rules.timing import DEFAULT_TIMING, Timing

__all__ = ["DEFAULT_TIMING", "Links", "Timing", "rule_files", "write_alertmanager", "write_rules"]

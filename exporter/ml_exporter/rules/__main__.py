"""Writes the rule files, and the tables of rules and alerts in the docs.

python -m ml_exporter.rules --output prometheus/rules --docs docs
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ml_exporter.rules.docs import write_docs
from ml_exporter.rules.files import write_rules
from ml_exporter.rules.links import Links
from ml_exporter.rules.timing import DEFAULT_TIMING


def main() -> None:
    shipped = Links()
    parser = argparse.ArgumentParser(prog="python -m ml_exporter.rules", description=__doc__)
    parser.add_argument("--output", type=Path, help="folder of the rule files")
    parser.add_argument("--docs", type=Path, help="folder of rules.md and alerts.md")
    parser.add_argument("--runbooks", default=shipped.runbooks, help="where runbooks are, as a URL")
    parser.add_argument("--grafana", default=shipped.grafana, help="where Grafana is, as a URL")
    arguments = parser.parse_args()
    if not (arguments.output or arguments.docs):
        parser.error("say --output, --docs or both")
    if arguments.output:
        links = Links(runbooks=arguments.runbooks, grafana=arguments.grafana)
        write_rules(arguments.output, DEFAULT_TIMING, links)
    if arguments.docs:
        write_docs(arguments.docs)


if __name__ == "__main__":
    main()

"""Copies of this repository's Alertmanager configuration, for another webhook and other delays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from ml_exporter.rules.timing import DEFAULT_TIMING, Timing, duration

SHIPPED = Path(__file__).parents[3] / "alertmanager"


def write_alertmanager(folder: Path, webhook_url: str, timing: Timing = DEFAULT_TIMING) -> Path:
    """Write `alertmanager.yml` and its templates into a folder, which is made; returns its path.

    It is the shipped configuration, sending to `webhook_url` and, with a shortened timing,
    without making anyone wait. Needs the repository: raises FileNotFoundError without it.
    """
    config = yaml.safe_load((SHIPPED / "alertmanager.yml").read_text(encoding="utf-8"))
    webhook = next(one for one in config["receivers"] if one["name"] == config["route"]["receiver"])
    webhook["webhook_configs"][0]["url"] = webhook_url
    if timing != DEFAULT_TIMING:
        config["route"] |= {
            "group_wait": duration(timing.minute),
            "group_interval": duration(timing.minute),
        }
    shutil.copytree(SHIPPED / "templates", folder / "templates", dirs_exist_ok=True)
    path = folder / "alertmanager.yml"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path

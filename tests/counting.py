"""A model over logs of its own, counted chunk by chunk, saved and started again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ml_exporter.config import config
from ml_exporter.families import Family
from ml_exporter.pipeline.given_baselines import given_baselines
from ml_exporter.pipeline.pipeline import Pipeline
from ml_exporter.pipeline.version import Budget
from ml_exporter.store.store import Store

NOW = 1_700_000_000.0

Row = Mapping[str, Any]


class Counting:
    """The only model of a configuration, whose logs lie in the same folder."""

    def __init__(
        self,
        folder: Path,
        text: str,
        *,
        store: Store | None = None,
        follow: bool = True,
        **changes: Any,
    ) -> None:
        path = folder / "ml-exporter.yml"
        path.write_text(text)
        self.folder = folder
        self.config = config.load(path)
        (model,) = self.config.models
        self.model = replace(model, **changes)
        self.store = store or Store(None)
        self.follow = follow
        self.now = NOW
        self.open()

    def open(self) -> None:
        self.pipeline = Pipeline(
            self.model,
            self.config.limits,
            self.store,
            given_baselines(self.model),
            follow=self.follow,
            start="start",
            budget=Budget(self.config.limits.series),
            now=lambda: self.now,
        )

    def append(self, name: str, *rows: Row | str | bytes) -> None:
        """Write rows to a log, or text as it is."""
        with (self.folder / name).open("ab") as log:
            for row in rows:
                if isinstance(row, bytes):
                    log.write(row)
                elif isinstance(row, str):
                    log.write(row.encode())
                else:
                    log.write(json.dumps(row).encode() + b"\n")

    def count(self) -> None:
        """Count all that there is."""
        while self.pipeline.step(births_wait=False) != "idle":
            pass

    def save(self) -> None:
        self.pipeline.save()
        self.store.commit()

    def start_again(self) -> None:
        """As a process that was killed, which knows what was saved and nothing else."""
        self.pipeline.close()
        self.store.rollback()
        self.open()

    def close(self) -> None:
        self.pipeline.close()
        self.store.close()

    @property
    def families(self) -> list[Family]:
        return self.pipeline.families

    def counters(self, prefix: str = "ml_") -> dict[str, float]:
        """Every counter that isn't 0, by name and labels (but for the model's name)."""
        return {
            sample: value
            for family in self.families
            if family.kind != "gauge" and family.name.startswith(prefix)
            for sample, value in samples(family).items()
            if value
        }

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of a family with these labels."""
        total = 0.0
        for family in self.families:
            if family.name == name:
                for values, value in zip(family.label_sets, family.values.tolist(), strict=True):
                    of_sample = dict(zip(family.label_names, values, strict=False))
                    if labels.items() <= of_sample.items():
                        total += value
        return total


def samples(family: Family) -> dict[str, float]:
    """The samples of a family as they are written, but for the model's name."""
    found = {}
    for suffix, values, value in zip(
        family.suffixes, family.label_sets, family.values.tolist(), strict=True
    ):
        labels = zip(family.label_names, values, strict=False)
        text = ",".join(f'{name}="{label}"' for name, label in labels if name != "model")
        found[f"{family.name}{suffix}{{{text}}}"] = value
    return found

"""The class that a model's scores speak for, where it gives no class of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml_exporter.batch import SCORE, Field
from ml_exporter.columns import Column

_THRESHOLD = 0.5  # of the positive class's score


@dataclass(frozen=True)
class Decision:
    """By the score of the positive class, or by the greatest of all.

    `classes` has the other class and the positive one where the model is binary, else all.
    """

    classes: tuple[str, ...]
    binary: bool

    def column(self, fields: Mapping[Field, Column], rows: int) -> Column:
        """The class of each row; missing where a row lacks a score."""
        keys = [SCORE] if self.binary else [Field("score", name) for name in self.classes]
        scores = np.full((rows, len(keys)), np.nan)
        for at, key in enumerate(keys):
            if key in fields:
                scores[:, at] = fields[key].numbers.values
        known = ~np.isnan(scores).any(axis=1)
        if self.binary:
            chosen = (scores[:, 0] >= _THRESHOLD).astype(np.intp)
        else:
            chosen = np.where(known[:, None], scores, 0.0).argmax(axis=1)
        names = self.classes
        return Column(
            [
                names[index] if is_known else None
                for index, is_known in zip(chosen.tolist(), known.tolist(), strict=True)
            ]
        )

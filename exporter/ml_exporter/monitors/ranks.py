"""Ranks: where the truth stood among a multiclass model's scores, or in a list of items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ml_exporter.baseline.labelled_baseline import class_scores
from ml_exporter.batch import LABEL, Batch, Field
from ml_exporter.families import Family
from ml_exporter.statistics.bins import INVALID, MISSING, Floats
from ml_exporter.statistics.ranks import CUTOFFS, discounted_gains, reciprocal_ranks, score_ranks


class _Ranks:
    """Sums of what a mean rank figure is made of; whoever inherits says what the ranks are."""

    def __init__(self, model: str, version: str, cutoffs: Iterable[int]) -> None:
        of = {"model": model, "version": version}
        self._ranked = Family(
            "ml_ranked_predictions_total",
            "Labelled predictions in whose ranking the truth has been looked for.",
            "counter",
            of=of,
        )
        self._hits = Family(
            "ml_top_k_hits_total",
            "Ranked predictions with the truth among the first k.",
            "counter",
            ("k",),
            of=of,
        )
        self._reciprocal = Family(
            "ml_reciprocal_rank_total", "1 / rank of the truth, summed.", "counter", of=of
        )
        self._reciprocal_squared = Family(
            "ml_reciprocal_rank_squared_total", "Squares of 1 / rank.", "counter", of=of
        )
        self._gain = Family(
            "ml_discounted_gain_total",
            "1 / log2(1 + rank) of the truth, where it is among the first k, summed.",
            "counter",
            ("k",),
            of=of,
        )
        self.families = (
            self._ranked,
            self._hits,
            self._reciprocal,
            self._reciprocal_squared,
            self._gain,
        )
        self._cutoffs = tuple(cutoffs)
        for family in (self._ranked, self._reciprocal, self._reciprocal_squared):
            family.add()
        for k in self._cutoffs:
            self._hits.add(str(k))
            self._gain.add(str(k))

    def count(self, ranks: Floats) -> None:
        """Count rows by the rank of their truth."""
        reciprocal = reciprocal_ranks(ranks)
        self._ranked.inc(ranks.size)
        self._reciprocal.inc(float(reciprocal.sum()))
        self._reciprocal_squared.inc(float(np.square(reciprocal).sum()))
        for k in self._cutoffs:
            self._hits.inc(int(np.count_nonzero(ranks <= k)), str(k))
            self._gain.inc(float(discounted_gains(ranks, k).sum()), str(k))


class ScoreRanks(_Ranks):
    """Ranks of the label among the classes of a multiclass model, by their scores.

    Rows are ranked that have a finite score of every class, and a label that is one of them. Of
    equal scores the class named last is first.
    """

    def __init__(self, model: str, version: str, classes: Sequence[str]) -> None:
        super().__init__(model, version, [k for k in CUTOFFS if k < len(classes)])
        self._classes = classes

    def update(self, batch: Batch) -> None:
        scores = class_scores(batch, self._classes)
        if scores is None:
            return
        truth = batch.fields[LABEL].categories.among(self._classes)
        usable = (truth >= 0) & ~np.isnan(scores).any(axis=1)
        if not usable.all():
            scores, truth = scores[usable], truth[usable]
        self.count(score_ranks(scores, truth))


class ListRanks(_Ranks):
    """Ranks of the label, the one relevant item, in the items that were recommended.

    `items` are the columns of the items, best first. Rows are ranked that have an item at all, and
    a label; an item that is listed twice has its better rank.
    """

    def __init__(self, model: str, version: str, items: Sequence[Field]) -> None:
        super().__init__(model, version, [k for k in CUTOFFS if k <= len(items)])
        self._items = items

    def update(self, batch: Batch) -> None:
        label = batch.fields[LABEL].categories
        names = [name for name in label.names if name not in (MISSING, INVALID)]
        truth = label.among(names)
        ranks = np.full(batch.rows, np.inf)
        any_item = np.zeros(batch.rows, dtype=np.bool_)
        # From the last item to the first, so that the best rank is what remains.
        for number in range(len(self._items), 0, -1):
            column = batch.fields.get(self._items[number - 1])
            if column is None:
                continue
            listed = column.categories
            codes = listed.among(names)
            ranks[(codes == truth) & (codes >= 0)] = number
            any_item |= ~listed.is_any(MISSING, INVALID)
        self.count(ranks[(truth >= 0) & any_item])

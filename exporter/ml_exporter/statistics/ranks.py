"""Where the truth stands in what a model ranked: by scores of classes, or in a list of items.

Ranks begin at 1; what isn't in a list has rank infinity. The figures are means over rows, of a
model that has one right answer a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml_exporter.statistics.bins import Floats

CUTOFFS = (1, 2, 3, 5, 10)
"""The k of top-k accuracy and NDCG@k."""


def score_ranks(scores: Floats, truth: NDArray[np.intp]) -> Floats:
    """The rank of each row's class by its score.

    `scores` are (rows, classes) and finite. Of equal scores the class that comes last is first, as
    in scikit-learn's `top_k_accuracy_score`.
    """
    own = scores[np.arange(truth.size), truth][:, np.newaxis]
    later = np.arange(scores.shape[1]) > truth[:, np.newaxis]
    ahead = (scores > own) | ((scores == own) & later)
    return np.asarray(1.0 + np.count_nonzero(ahead, axis=1))


def reciprocal_ranks(ranks: Floats) -> Floats:
    """1 / rank.

    E. M. Voorhees, The TREC-8 question answering track report (1999).
    """
    return 1 / ranks


def discounted_gains(ranks: Floats, k: int) -> Floats:
    """NDCG@k of each row: `1 / log2(1 + rank)` within the first k, else 0.

    One item is relevant, so that the ideal list has a gain of 1.

    K. Järvelin & J. Kekäläinen, Cumulated gain-based evaluation of IR techniques (2002).
    """
    return np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0)

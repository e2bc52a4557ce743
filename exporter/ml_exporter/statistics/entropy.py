"""Terms of entropies, as SciPy has them, without SciPy, which an application need not have."""

from __future__ import annotations

import numpy as np

from ml_exporter.statistics.bins import Floats


def entr(x: Floats) -> Floats:
    """-x ln x of each, 0 where x is 0: of shares, their sum is the entropy in nats."""
    return -rel_entr(x, np.ones_like(x))


def rel_entr(x: Floats, y: Floats) -> Floats:
    """X ln(x / y) of each pair, 0 where x is 0; y isn't 0 where x isn't.

    Of shares, their sum is the relative entropy of one distribution to another, in nats.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x > 0, x * np.log(x / y), 0.0)

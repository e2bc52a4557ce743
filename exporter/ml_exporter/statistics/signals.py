"""Bands in which a figure is expected to be, from the same time of earlier days and weeks.

A figure is looked at on a scale on which its sampling error depends little on the figure itself, so
that one band fits a share near 1 and one in the middle, and never leaves the range of the figure.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml_exporter.statistics.significance import Z_95

Floats = NDArray[np.float64]

Scale = Literal["share", "size", "number"]
SCALES: tuple[Scale, ...] = get_args(Scale)

WIDTH = 4.5
"""Standard deviations from the middle of a band to its ends."""

MEDIAN_OF_SQUARES = 0.4549364231195724
"""The median of the square of a standard normal variable."""


def to_scale(value: ArrayLike, scale: Scale) -> Floats:
    """A figure on its scale: twice the arcsine of the root of a share, twice the root of a size.

    On these the standard error of a share of n rows is 1 / sqrt(n), and that of a count is 1.

    M. S. Bartlett, The square root transformation in analysis of variance (1936); F. J. Anscombe,
    The transformation of Poisson, binomial and negative-binomial data (1948).
    """
    x = np.asarray(value, dtype=np.float64)
    if scale == "share":
        return 2 * np.arcsin(np.sqrt(np.clip(x, 0, 1)))
    return 2 * np.sqrt(np.maximum(x, 0)) if scale == "size" else x


def from_scale(score: ArrayLike, scale: Scale) -> Floats:
    """The figure of a score; what is beyond the ends of its range is the end."""
    s = np.asarray(score, dtype=np.float64)
    if scale == "share":
        return np.square(np.sin(np.clip(s, 0, np.pi) / 2))
    return np.square(np.maximum(s, 0) / 2) if scale == "size" else s


def score(lower: ArrayLike, upper: ArrayLike, scale: Scale) -> tuple[Floats, Floats]:
    """A figure on its scale, and the variance of that, from the ends of its 95 % interval.

    The score is the middle between the ends, which is less extreme than the figure itself where it
    rests on few rows. No share has a variance of 0, for Wilson's interval has a width even at 1.
    """
    low, high = to_scale(lower, scale), to_scale(upper, scale)
    return (low + high) / 2, np.square((high - low) / (2 * Z_95))


def middle_variance(variances: ArrayLike) -> Floats:
    """The variance of the median of some scores, from theirs; the last axis is that of the scores.

    NaN among them is a score that is missing.

    J. F. Kenney & E. S. Keeping, Mathematics of Statistics (1962), 13.13: pi / 2 times that of
    the mean.
    """
    v = np.asarray(variances, dtype=np.float64)
    variance: Floats = np.pi / 2 * np.nanmean(v, axis=-1) / np.sum(~np.isnan(v), axis=-1)
    return variance


def excess(score: ArrayLike, middle: ArrayLike, variance: ArrayLike) -> Floats:
    """What the square of a residual says of the variance beyond the known one.

    `variance` is that of the sampling of score and middle together. Of a normal residual the
    median of this is the variance that is not known, whatever the known one is at each time: a
    median over time estimates it, though nights have fewer rows than days, and whatever a minority
    of the times was like.
    """
    residual = np.asarray(score, dtype=np.float64) - np.asarray(middle, dtype=np.float64)
    return np.square(residual) / MEDIAN_OF_SQUARES - np.asarray(variance, dtype=np.float64)


def half_width(variance: ArrayLike, excess: ArrayLike) -> Floats:
    """From the middle of a band to its ends, on the scale: never less than sampling alone asks.

    `excess` is the median of `excess` over the last week, in which anomalies count as usual.
    """
    beyond = np.maximum(np.asarray(excess, dtype=np.float64), 0)
    width: Floats = WIDTH * np.sqrt(np.asarray(variance, dtype=np.float64) + beyond)
    return width


def clip(score: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> Floats:
    """What later bands learn of a score: no more than the end of its band; NaN is no band yet."""
    s = np.asarray(score, dtype=np.float64)
    learned: Floats = np.fmax(np.fmin(s, np.asarray(upper, dtype=np.float64)), np.asarray(lower))
    return learned


def band_of_figure(value: ArrayLike, score: ArrayLike, end: ArrayLike, scale: Scale) -> Floats:
    """An end of the band as a figure: the value is beyond it where the score is beyond the end."""
    beside = to_scale(value, scale) - np.asarray(score, dtype=np.float64)
    return from_scale(np.asarray(end, dtype=np.float64) + beside, scale)

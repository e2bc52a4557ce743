"""Quantiles without SciPy, which an application need not have, and which takes long to import."""

from __future__ import annotations

import math
from functools import lru_cache

_TINY = 1e-300
_PRECISION = 1e-15


@lru_cache(maxsize=1024)
def chi_squared_isf(alpha: float, freedom: float) -> float:
    """What a chi-squared value of so many degrees of freedom exceeds with probability `alpha`.

    `alpha` is at most 0.3. A standard normal exceeds the root of it, for one degree of
    freedom, with probability `alpha` in either direction. Equal to scipy.special.chdtri but for
    rounding.
    """
    if not alpha:
        return math.inf
    shape = freedom / 2
    # Wilson and Hilferty 1931, with a bound of the normal's quantile, is near enough to begin at.
    step = math.sqrt(2 / (9 * freedom))
    x = max(shape + 1, shape * (1 - step**2 + step * math.sqrt(-2 * math.log(alpha))) ** 3)
    target = math.log(alpha)
    for _ in range(50):
        # Newton's method on logarithms, of which the tail's is nearly a straight line.
        fraction = _fraction(shape, x)
        log_density = shape * math.log(x) - x - math.lgamma(shape)
        change = (log_density + math.log(fraction) - target) * x * fraction
        x = max(x + change, x / 2)
        if abs(change) <= 4 * _PRECISION * x:
            break
    return 2 * x


@lru_cache(maxsize=1024)
def beta_median(a: int, b: int) -> float:
    """The median of a beta distribution, whose parameters are whole numbers.

    As many draws as a + b - 1, of this chance each, have fewer than `a` hits as often as not. Equal
    to scipy.special.betaincinv(a, b, 0.5) but for rounding. https://dlmf.nist.gov/8.17#E5
    """
    n = a + b - 1
    ways = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(a)]
    density = ways[-1] + math.log(b)  # its logarithm, less what depends on x
    x = (a - 1 / 3) / (a + b - 2 / 3)  # near enough to begin at: Kerman 2011
    for _ in range(50):
        hit, miss = math.log(x), math.log1p(-x)
        fewer = math.fsum(math.exp(of + k * hit + (n - k) * miss) for k, of in enumerate(ways))
        change = (fewer - 0.5) / math.exp(density + (a - 1) * hit + (b - 1) * miss)
        x += change
        if abs(change) <= 4 * _PRECISION * x:
            break
    return x


def _fraction(shape: float, x: float) -> float:
    """The upper incomplete gamma function over its leading term, for x above `shape`.

    The continued fraction of https://dlmf.nist.gov/8.9#E2, by Lentz's method.
    """
    b = x + 1 - shape
    c = 1 / _TINY
    d = 1 / b
    value = d
    for n in range(1, 10_000):
        a = -n * (n - shape)
        b += 2
        d = 1 / (a * d + b or _TINY)
        c = b + a / c or _TINY
        value *= d * c
        if abs(d * c - 1) < _PRECISION:
            break
    return value

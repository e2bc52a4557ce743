"""Numbers and names in text."""

from __future__ import annotations

import math

_METRICS = {
    "f1": "F1",
    "f1_weighted": "F1 weighted",
    "roc_auc": "ROC AUC",
    "r2": "R²",
    "gini": "Gini",
}
_LONGEST_NAME = 60  # characters


def percent(share: float) -> str:
    """A share to two digits or a tenth of a percent; never 0 % or 100 % where it isn't."""
    if math.isnan(share):
        return "–"
    value = 100 * share
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.9 < value < 100:
        return ">99.9 %"
    return f"{value:.1f} %".replace(".0 ", " ") if value < 10 or value > 99 else f"{value:.0f} %"


def count(number: float, noun: str = "") -> str:
    """A whole number with its noun: `1 row`, `20,000 rows`."""
    return f"{number:,.0f}" + (f" {noun}{'' if number == 1 else 's'}" if noun else "")


def figure(value: float) -> str:
    """With three decimals, or fewer of a large number: `0.812`, `271.6`, `25,431`."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size < 1e4:
        return f"{value:.{3 if size < 10 else 2 if size < 100 else 1}f}"
    return f"{value:,.0f}" if size < 1e6 else f"{value:.3g}"


def metric(name: str) -> str:
    """What a figure is called in text."""
    return _METRICS.get(name, name.replace("_", " "))


def quoted(name: str, most: int = _LONGEST_NAME) -> str:
    """The name of a field in text, shortened where it is very long."""
    if len(name) <= most:
        return f"`{name}`"
    half = most // 2
    return f"`{name[:half]}…{name[-half:]}`"


def ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"

"""What the columnar code is held against: the same rules, one plain value at a time."""

import math
from collections import Counter

from ml_exporter.columns import ABSENT
from ml_exporter.statistics.bins import format_number


def bin_of(field, value, text=False):
    """The bin of one value; `text` where the format knows nothing but text."""
    if value is None or value is ABSENT or value == "":
        return "<missing>"
    if field.edges is not None:
        number = _number(value, text)
        if number is None or not math.isfinite(number):
            return "<invalid>"
        return _bin_of_number(field.edges, number)
    name = _name(value, text)
    if name == "<invalid>" or name in field.counts:
        return name
    return "<any>" if "<any>" in field.counts else "<other>"


def count_one_by_one(field, values, text=False):
    """The counts of a field's bins, in their order."""
    found = Counter(bin_of(field, value, text) for value in values)
    assert set(found) <= set(field.bins)
    return [found[bin] for bin in field.bins]


def _number(value, text):
    if text:
        try:
            return float(value) if "_" not in value else None
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _bin_of_number(edges, number):
    if number < edges[0]:
        return "<below>"
    for upper in edges[1:]:
        if number <= upper:
            return format_number(upper)
    return "<above>"


def _name(value, text):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "<invalid>"
    if isinstance(value, int | float):
        if not math.isfinite(_number(value, text=False)):
            return "<invalid>"
        name = str(int(value)) if value == int(value) else repr(value)
    elif value.startswith("<"):
        name = "\\" + value
    else:
        whole, dot, fraction = value.partition(".")
        is_whole = text and dot and not fraction.strip("0") and whole.lstrip("+-").isdecimal()
        name = str(int(value[: value.index(".")])) if is_whole and len(value) <= 200 else value
    return "<other>" if len(name.removeprefix("\\")) > 200 else name

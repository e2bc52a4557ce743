"""Families as Prometheus text or OpenMetrics.

https://prometheus.io/docs/instrumenting/exposition_formats/
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np

from ml_exporter.families import Exemplar, Family, Frozen, Values

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_EXACT_INTEGERS = 2.0**53
_LABELS_KEPT = 1 << 12  # most are those of many samples
_GZIP_LEVEL = 1  # the exposition shrinks sevenfold; more effort takes longer than it saves


@dataclass
class _Template:
    samples: int
    text: bytes


# Names and labels never change once born, so a scrape only fills in the numbers.
_templates: WeakKeyDictionary[Family, _Template] = WeakKeyDictionary()


def render(samples: Iterable[Frozen], openmetrics: bool = False) -> bytes:
    """The exposition of families as they were frozen, those of one name together."""
    by_name: dict[str, list[Frozen]] = {}
    for frozen in samples:
        if frozen.values.size:
            by_name.setdefault(frozen.family.name, []).append(frozen)
    parts: list[bytes] = []
    for group in by_name.values():
        parts.append(_header(group[0].family, openmetrics))
        parts.extend(_render_family(frozen, openmetrics) for frozen in group)
    if openmetrics:
        parts.append(b"# EOF\n")
    return b"".join(parts)


def compress(exposition: bytes) -> bytes:
    """For a scraper that accepts gzip."""
    return gzip.compress(exposition, _GZIP_LEVEL)


def _header(family: Family, openmetrics: bool) -> bytes:
    name = family.name
    if openmetrics and family.kind == "counter":
        name = name.removesuffix("_total")
    help = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    if openmetrics:
        help = help.replace('"', '\\"')
    return f"# HELP {name} {help}\n# TYPE {name} {family.kind}\n".encode()


def _render_family(frozen: Frozen, openmetrics: bool) -> bytes:
    count = frozen.values.size
    template = _templates.get(frozen.family)
    if template is None or template.samples != count:
        template = _Template(count, _template(frozen.family, count))
        _templates[frozen.family] = template
    numbers = _numbers(frozen.values)
    if openmetrics and frozen.exemplars:
        numbers = list(numbers)
        for index, exemplar in frozen.exemplars.items():
            if index < count and frozen.values[index]:
                numbers[index] += _exemplar(exemplar)
    return template.text % tuple(numbers)


def _exemplar(of: Exemplar) -> bytes:
    """What follows a sample of OpenMetrics; the text format knows nothing of the kind."""
    return b' # {trace_id="%b"} %b %.3f' % (of.trace.encode(), _number(of.value), of.time)


def _template(family: Family, count: int) -> bytes:
    lines = []
    for suffix, values in zip(family.suffixes[:count], family.label_sets[:count], strict=True):
        # A histogram's _sum and _count have no value for `le`, its last label.
        labels = ",".join(map(_label, family.label_names, values))
        lines.append(
            f"{family.name}{suffix}{{{labels}}} %b\n" if labels else f"{family.name}{suffix} %b\n"
        )
    return "".join(lines).encode("utf-8", "replace")


@lru_cache(_LABELS_KEPT)
def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'.replace("%", "%%")


def _numbers(values: Values) -> Sequence[bytes]:
    if np.all(np.abs(values) < _EXACT_INTEGERS) and np.array_equal(values, np.trunc(values)):
        return [b"%d" % value for value in values.astype(np.int64).tolist()]
    return [_number(value) for value in values.tolist()]


def _number(value: float) -> bytes:
    if math.isfinite(value):
        if value.is_integer() and abs(value) < _EXACT_INTEGERS:
            return b"%d" % int(value)
        return repr(value).encode()
    return b"NaN" if math.isnan(value) else b"+Inf" if value > 0 else b"-Inf"


def choose(accept: str | None) -> tuple[bool, str]:
    """Whether a client's `Accept` header asks for OpenMetrics, and the content type to answer.

    The acceptable type of the greatest quality wins; text where nothing says otherwise.
    """
    best, openmetrics = 0.0, False
    for part in (accept or "").split(","):
        media, *parameters = (piece.strip() for piece in part.lower().split(";"))
        options = dict(piece.replace('"', "").split("=", 1) for piece in parameters if "=" in piece)
        try:
            quality = float(options.get("q", "1"))
        except ValueError:
            continue
        is_openmetrics = media == "application/openmetrics-text" and options.get(
            "version", "1.0.0"
        ) in ("1.0.0", "0.0.1")
        if quality > best and (is_openmetrics or media in ("text/plain", "text/*", "*/*")):
            best, openmetrics = quality, is_openmetrics
    return openmetrics, OPENMETRICS if openmetrics else TEXT

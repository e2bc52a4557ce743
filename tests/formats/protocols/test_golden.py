"""Bodies as the documentation of each protocol has them, beside what they decode to."""

import json
from pathlib import Path

import pytest

from tests.formats.exchanging import decode, layout, rows

GOLDEN = {path.stem: json.loads(path.read_text()) for path in Path(__file__).parent.glob("*.json")}
CASES = [
    pytest.param(format, case, id=f"{format} {number}")
    for format, cases in sorted(GOLDEN.items())
    for number, case in enumerate(cases)
]


def comparable(found):
    """NaN is unequal to itself, and of a vector a batch remembers no more than that it is one."""
    return [
        {
            name: [] if isinstance(value, list) else repr(value)
            for name, value in sorted(row.items())
        }
        for row in found
    ]


def check(format, case):
    given = layout(case.get("features"), **case.get("fields", {}))
    decoded = decode(format, case["line"], given=given)
    assert comparable(rows(decoded)) == comparable(case["rows"]), case["source"]
    assert decoded.rejected == case.get("rejected", {})


@pytest.mark.parametrize(("format", "case"), CASES)
def test_decodes_to(format, case):
    check(format, case)


@pytest.mark.parametrize(("format", "case"), [one for one in CASES if one.values[0] != "json"])
def test_is_told_by_its_path_or_its_bodies(format, case):
    check("auto", case)

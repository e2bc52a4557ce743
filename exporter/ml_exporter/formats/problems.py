"""What is wrong with rejected rows, in words."""

from __future__ import annotations

from ml_exporter.batch import LABEL
from ml_exporter.formats.rows import LONGEST_ROW, Layout

_PROBLEMS = {
    "malformed": "is not what the format is: no JSON object, no record of the table",
    "encoding": "is not UTF-8, or has half a surrogate pair",
    "too_large": f"is longer than {LONGEST_ROW >> 20} MiB, or has too many columns",
    "too_deep": "is nested too deeply",
    "truncated": "is cut off, where the log ends",
    "ragged_row": "has not as many values as there are columns, or outputs as there are inputs",
    "unreadable": "can't be read",
}
_OF_JSON_LINES = {
    "malformed": "is no JSON object",
    "too_large": f"is longer than {LONGEST_ROW >> 20} MiB",
}


def problem_of(reason: str, layout: Layout, format: str) -> str:
    """What a reason means for rows of a layout."""
    match reason:
        case "no_id" if format == "cloudevents":
            return "has no id, or, of Seldon, no requestid"
        case "no_id":
            return f"has no id at {layout.id!r}"
        case "bad_timestamp":
            return f"has a time at {layout.timestamp!r} that can't be read"
        case "no_fields" if list(layout.fields) == [LABEL]:
            return f"has no label at {layout.fields[LABEL]!r}"
        case "no_fields":
            return "has none of the configured fields"
        case "malformed" if format == "cloudevents":
            return "is no CloudEvent 1.0 whose data can be read"
        case _ if format == "jsonl" and reason in _OF_JSON_LINES:
            return _OF_JSON_LINES[reason]
    return _PROBLEMS[reason]

"""What exchanges decode to, as plain values."""

import json

from ml_exporter.batch import PREDICTION, SCORE
from ml_exporter.columns import ABSENT
from ml_exporter.formats.exchange_lines import ExchangeLines
from ml_exporter.formats.exchanges import NO_TABLE, Invocation
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import Layout
from ml_exporter.formats.tabulation import Tabulator
from tests.formats.feeding import feature


def layout(features=None, **paths):
    """Of these features by their paths, or else of whatever is found."""
    fields = {PREDICTION: paths.get("prediction", "prediction")}
    if "score" in paths:
        fields[SCORE] = paths["score"]
    return Layout(
        fields | {feature(path): path for path in features or ()},
        id=paths.get("id"),
        timestamp=paths.get("timestamp"),
        version=paths.get("version"),
        known=frozenset(paths.get("known", ())),
        discover=features is None,
    )


def decode(format, *lines, given=None, end=True):
    data = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return ExchangeLines(given or layout(), format).decode(b"\n".join(data) + b"\n" * end, end)


def decode_sides(inputs=NO_TABLE, outputs=NO_TABLE, given=None, id="i", time=None, version=None):
    one = Invocation(id, time, version, inputs, outputs)
    return Tabulator(given or layout()).decode([one], Rejections(), 0)


def rows(decoded):
    """Each row as what is known of it, by the name of its field; what is absent is left out."""
    batch = decoded.batch
    found = []
    for row in range(batch.rows):
        known = {"id": batch.ids[row]} if batch.ids else {}
        if batch.versions:
            known["version"] = batch.versions[row]
        for key, column in batch.fields.items():
            if column.values[row] is not ABSENT and key.role != "completion":
                known[key.name] = column.values[row]
        found.append(known)
    return found

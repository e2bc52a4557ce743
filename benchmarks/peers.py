"""The counts of a log as DuckDB and Polars compute them: `python peers.py NAME LOG PLAN`.

Prints the counts by column and bin, and the confusion matrix, as JSON. A column with a dot in its
name is a field of a struct.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    import polars as pl

Plan = dict[str, Any]  # what plan.py makes
Type = TypeVar("Type")


class Question(NamedTuple):
    """How many rows there are, or how many have such a value in a column."""

    test: Literal["rows", "present", "<", "<=", "=", "outcome"]
    column: str = ""
    operand: Any = None


def questions(plan: Plan) -> list[Question]:
    asked = [Question("rows")]
    for name, number in plan["numbers"].items():
        first, *uppers = number["edges"]
        asked += [Question("present", name), Question("<", name, first)]
        asked += [Question("<=", name, edge) for edge in uppers]
    for name, known in plan["categories"].items():
        asked.append(Question("present", name))
        asked += [Question("=", name, category) for category in known]
    asked += [Question("outcome", operand=pair) for pair in outcomes(plan)]
    return asked


def outcomes(plan: Plan) -> list[tuple[str, str]]:
    return list(itertools.product(plan["classes"], repeat=2))


def count_by_bin(plan: Plan, answers: Mapping[Question, int]) -> dict[str, Any]:
    rows = answers[Question("rows")]
    columns = {}
    for name, number in plan["numbers"].items():
        first, *uppers = number["edges"]
        present = answers[Question("present", name)]
        cumulative = [
            0,
            answers[Question("<", name, first)],
            *(answers[Question("<=", name, edge)] for edge in uppers),
            present,
        ]
        counts = [after - before for before, after in itertools.pairwise(cumulative)]
        columns[name] = dict(zip(number["bins"], counts, strict=True))
        columns[name]["<missing>"] = rows - present
    for name, known in plan["categories"].items():
        present = answers[Question("present", name)]
        columns[name] = {category: answers[Question("=", name, category)] for category in known}
        columns[name]["<other>"] = present - sum(columns[name].values())
        columns[name]["<missing>"] = rows - present
    del columns[plan["label"]]["<missing>"]  # the label of such a row isn't known yet
    confusion = {
        " / ".join(pair): answers[Question("outcome", "", pair)] for pair in outcomes(plan)
    }
    return {"rows": rows, "columns": columns, "confusion": confusion}


def ask_duckdb(log: Path, plan: Plan) -> dict[str, Any]:
    import duckdb

    def text(value: object) -> str:
        return "'" + str(value).replace("'", "''") + "'"

    def expression(question: Question) -> str:
        match question:
            case ("rows", _, _):
                return "count(*)"
            case ("present", column, _):
                return f"count({column})"
            case ("=", column, category):
                return f"count_if({column} = {text(category)})"
            case ("outcome", _, (actual, predicted)):
                return (
                    f"count_if({plan['label']} = {text(actual)}"
                    f" AND {plan['prediction']} = {text(predicted)})"
                )
            case (comparison, column, edge):
                return f"count_if({column} {comparison} {edge!r})"

    types = duckdb_types(plan)
    if log.suffix == ".csv":
        with log.open() as lines:
            header = next(lines).strip().split(",")
        types = {name: types.get(name, "VARCHAR") for name in header}
        source = f"read_csv({text(log)}, header=true, columns={types})"
    elif log.suffix == ".parquet":
        source = f"read_parquet({text(log)})"
    else:
        source = f"read_json({text(log)}, format='newline_delimited', columns={types})"
    asked = questions(plan)
    connection = duckdb.connect(config={"threads": 1})
    query = f"SELECT {', '.join(map(expression, asked))} FROM {source}"
    [answers] = connection.sql(query).fetchall()
    return count_by_bin(plan, dict(zip(asked, answers, strict=True)))


def duckdb_types(plan: Plan) -> dict[str, str]:
    flat = dict.fromkeys(plan["numbers"], "DOUBLE") | dict.fromkeys(plan["categories"], "VARCHAR")
    return {
        name: type
        if isinstance(type, str)
        else f"STRUCT({', '.join(f'{field} {one}' for field, one in type.items())})"
        for name, type in nested(flat).items()
    }


def nested(types: Mapping[str, Type]) -> dict[str, Type | dict[str, Type]]:
    """Types by column; those of the fields of a struct by field."""
    columns: dict[str, Any] = {}
    for path, type in types.items():
        name, _, field = path.partition(".")
        if field:
            columns.setdefault(name, {})[field] = type
        else:
            columns[name] = type
    return columns


def ask_polars(log: Path, plan: Plan) -> dict[str, Any]:
    import polars as pl

    def expression(question: Question) -> pl.Expr:
        name, _, field = question.column.partition(".")
        column = pl.col(name).struct.field(field) if field else pl.col(name)
        matches: pl.Expr
        match question:
            case ("rows", _, _):
                return pl.len()
            case ("present", _, _):
                return column.count()
            case ("<", _, edge):
                matches = column < edge
            case ("<=", _, edge):
                matches = column <= edge
            case ("=", _, category):
                matches = column == category
            case (_, _, (actual, predicted)):
                matches = (pl.col(plan["label"]) == actual) & (
                    pl.col(plan["prediction"]) == predicted
                )
        return matches.sum()

    flat: dict[str, pl.DataType] = dict.fromkeys(plan["numbers"], pl.Float64())
    flat |= dict.fromkeys(plan["categories"], pl.String())
    types = {
        name: pl.Struct(type) if isinstance(type, dict) else type
        for name, type in nested(flat).items()
    }
    if log.suffix == ".csv":
        rows = pl.scan_csv(log, schema_overrides=types)
    elif log.suffix == ".parquet":
        rows = pl.scan_parquet(log)
    else:
        rows = pl.scan_ndjson(log, schema=types)
    asked = questions(plan)
    named = [expression(question).alias(str(i)) for i, question in enumerate(asked)]
    [answers] = rows.select(named).collect(engine="streaming").rows()
    return count_by_bin(plan, dict(zip(asked, answers, strict=True)))


PEERS = {"duckdb": ask_duckdb, "polars": ask_polars}

if __name__ == "__main__":
    peer, log, plan = sys.argv[1:]
    print(json.dumps(PEERS[peer](Path(log), json.loads(Path(plan).read_text()))))

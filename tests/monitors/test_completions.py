import math

import pytest

from ml_exporter.batch import Batch, Field
from ml_exporter.columns import Column
from ml_exporter.families import Histogram
from ml_exporter.monitors.completions import REASONS, Completions


def batch(**columns):
    fields = {Field("completion", name): Column(values) for name, values in columns.items()}
    return Batch(len(next(iter(columns.values()))), fields)


def counted(*batches):
    """What isn't 0: counters, and of histograms the number of values and their sum."""
    monitor = Completions("m", "1")
    for one in batches:
        monitor.update(one)
    found = {}
    for family in monitor.families:
        for labels, suffix, value in zip(
            family.label_sets, family.suffixes, family.values.tolist(), strict=True
        ):
            if value and suffix != "_bucket":
                name = family.name.removeprefix("ml_") + suffix
                found[" ".join([name, *(one for one in labels[2:] if one)])] = value
    return found


def test_all_series_are_there_before_there_is_a_row():
    families = {family.name: family for family in Completions("m", "1").families}
    assert [labels[2] for labels in families["ml_completions_total"].label_sets] == list(REASONS)
    assert not counted()
    assert sum(isinstance(one, Histogram) for one in Completions("m", "1").families) == 4


@pytest.mark.parametrize(
    ("reason", "series"),
    [
        ("stop", "stop"),
        ("end_turn", "<other>"),
        ("<other>", "<other>"),
        (None, "<missing>"),
        ([], "<other>"),
        (5, "<other>"),
    ],
)
def test_an_answer_ends_for_one_of_few_reasons(reason, series):
    assert counted(batch(finish_reason=[reason])) == {f"completions_total {series}": 1}


def test_tokens_are_of_requests():
    found = counted(
        batch(
            finish_reason=["stop", "length", "stop"],
            input_tokens=[7, None, 5],
            output_tokens=[30, None, 12],
            cached_tokens=[4, None, None],
            reasoning_tokens=[None, None, 8],
            is_counted=[0, None, 1],
        )
    )
    assert found == {
        **{"completions_total stop": 2, "completions_total length": 1},
        **{"request_tokens_sum input": 12, "request_tokens_count input": 2},
        **{"request_tokens_sum output": 42, "request_tokens_count output": 2},
        **{"cached_input_tokens_total": 4, "reasoning_output_tokens_total": 8},
        "requests_without_usage_total": 1,
    }


@pytest.mark.parametrize("tokens", [-1, 1e10, 2**70, math.nan, "many", True, []])
def test_what_is_no_number_of_tokens_is_none(tokens):
    found = counted(batch(input_tokens=[tokens], output_tokens=[tokens], cached_tokens=[tokens]))
    assert found == {"completions_total <missing>": 1}


@pytest.mark.parametrize(
    ("first", "duration", "tokens", "between"),
    [
        (0.5, 2.0, 4, 0.5),
        (0.5, 2.0, 1, None),  # nothing follows
        (0.5, 2.0, 0, None),
        (0.5, 2.0, None, None),
        (2.5, 2.0, 4, None),
    ],
)
def test_how_fast_tokens_come(first, duration, tokens, between):
    found = counted(batch(first=[first], duration=[duration], output_tokens=[tokens]))
    assert found["time_to_first_token_seconds_sum"] == first
    assert found.get("time_per_output_token_seconds_sum") == between


def test_an_answer_that_was_not_streamed_has_no_first_token():
    found = counted(batch(first=[None], duration=[2.0], output_tokens=[4]))
    assert "time_to_first_token_seconds_count" not in found
    assert "time_per_output_token_seconds_count" not in found

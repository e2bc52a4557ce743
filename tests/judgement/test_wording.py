import math

import pytest

from ml_exporter.judgement.wording import count, figure, metric, ordinal, percent, quoted


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"), (0.0004, "<0.1 %"), (0.002, "0.2 %"), (0.05, "5 %"), (0.0531, "5.3 %"),
        (0.314, "31 %"), (0.9995, ">99.9 %"), (1, "100 %"), (math.nan, "–"),
    ],
)  # fmt: skip
def test_shares_are_written_to_be_read(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8124, "0.812"), (-0.0421, "-0.042"), (9.87654, "9.877"), (42.1234, "42.12"),
        (271.55, "271.6"), (9999.4, "9999.4"), (25_431.2, "25,431"), (1_254_000, "1.25e+06"),
        (math.nan, "–"), (math.inf, "–"),
    ],
)  # fmt: skip
def test_figures_have_the_digits_that_matter(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(("number", "text"), [(1, "1 row"), (0, "0 rows"), (20_000, "20,000 rows")])
def test_counts_agree_with_their_noun(number, text):
    assert count(number, "row") == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (112, "112th"), (23, "23rd")],
)
def test_places_are_ordinals(number, text):
    assert ordinal(number) == text


def test_names_of_figures_are_spelled_as_the_field_does():
    assert [metric(name) for name in ("f1", "roc_auc", "log_loss")] == ["F1", "ROC AUC", "log loss"]


def test_a_very_long_name_keeps_its_ends():
    assert quoted("a" * 40 + "b" * 40) == f"`{'a' * 30}…{'b' * 30}`"

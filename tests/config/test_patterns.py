"""Patterns match what `re` matches, and none takes long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_exporter.config import patterns
from ml_exporter.config.patterns import Pattern, PatternError

ATOMS = st.sampled_from(
    ["a", "b", ".", r"\.", "[ab]", "[^a]", r"[\da]", "[]a]", r"\d", r"\w", r"\x61", "{", "{x}", "-"]
)
QUANTIFIERS = ("*", "+", "?", "*?", "{2}", "{1,}", "{,2}", "{,}", "{0}", "{2,3}", "{1,2}?")


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner | st.just("")).map(lambda both: f"(?:{both[0]}|{both[1]})"),
        st.tuples(inner, st.sampled_from(QUANTIFIERS)).map(lambda both: f"({both[0]}){both[1]}"),
        st.tuples(ATOMS, st.sampled_from(QUANTIFIERS)).map("".join),
    )


@given(st.recursive(ATOMS, larger, max_leaves=6), st.lists(st.text("ab1.{x}-", max_size=8)))
@settings(max_examples=300, deadline=None)
def test_the_same_as_re(pattern: str, texts: list[str]) -> None:
    try:
        expected = re.compile(pattern)
    except re.error:
        with pytest.raises(PatternError):
            Pattern(pattern)
        return
    found = Pattern(pattern)
    for text in texts:
        assert found.matches(text) == bool(expected.fullmatch(text)), text


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        ("[A-Z]{2}[0-9]+", ["DE1", "FR123"], ["", "DE", "de1", "DE1 ", "xDE1", "DE1\n"]),
        ("^[0-9]{5}$", ["01234"], ["1234", "012345", "01234\n"]),
        (r"\A(a|b)\Z|^c", ["a", "b", "c"], ["", "ab", "ca"]),
        ("", [""], ["a"]),
        ("(?P<sign>[+-])?[0-9]", ["1", "-1"], ["--1"]),
        ("(yes|no)?", ["", "yes", "no"], ["yesno"]),
        (r"[^@\s]+@[^@\s]+\.\w+", ["a@b.c", "ö@ü.de"], ["a@b", "a b@c.d", "@b.c"]),
        (".*", ["", "anything at all"], ["two\nlines"]),
        ("[[a]", ["[", "a"], ["b"]),
        ("\N{GRINNING FACE}{2}", ["\N{GRINNING FACE}" * 2], ["\N{GRINNING FACE}"]),
        (r"\N{EURO SIGN}\d", ["\N{EURO SIGN}5"], ["5"]),
    ],
)
def test_all_of_a_text_must_match(pattern: str, right: list[str], wrong: list[str]) -> None:
    found = Pattern(pattern)
    assert [text for text in right if not found.matches(text)] == []
    assert [text for text in wrong if found.matches(text)] == []


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("(", "is no regular expression: missing ), unterminated subpattern at position 0"),
        ("a{2,1}", "is no regular expression: min repeat greater than max repeat at position 2"),
        ("a{99999999999}", "is no regular expression: the repetition number is too large"),
        ("a" * 1001, "must have at most 1000 characters"),
        ("a{301}", "is too long: it has more than 300 characters when its repetitions"),
        ("((a{9}){9}){9}", "is too long: it has more than 300 characters when its repetitions"),
        *(
            (pattern, f"has {token!r}: look-around, back references, boundaries")
            for pattern, token in (
                ("a(?=b)", "(?="),
                ("(?<!a)b", "(?<"),
                (r"(a)\1", r"\1"),
                ("(?P<x>a)(?P=x)", "(?P"),
                (r"\bx", r"\b"),
                ("(?i)a", "(?i"),
                ("(^a)", "^"),
                ("a$b", "$"),
                ("a^", "^"),
            )
        ),
    ],
)
def test_what_is_not_known_is_an_error(pattern: str, error: str) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern(pattern)
    assert str(caught.value).startswith(error)


def test_nests_as_deep_as_a_pattern_is_long() -> None:
    assert Pattern("(" * 60 + "a" + "){1}" * 60).matches("a")


@pytest.mark.parametrize(
    "pattern",
    ["(a*)*b", "(a|a)*b", "(a|aa)+b", "a*a*a*a*a*a*b", "([a-z]+)+@", "(|){40}ab", ".*.*.*.*.*="],
)
def test_no_text_takes_more_steps_than_it_has_characters(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any of these, `re` takes years."""
    steps = []
    step = Pattern._step
    monkeypatch.setattr(Pattern, "_step", lambda *of: steps.append(of[2]) or step(*of))
    assert not Pattern(pattern).matches("a" * 200)
    assert len(steps) <= 200


@pytest.mark.parametrize(
    ("pattern", "simple"),
    [
        ("[A-Z]{2}[0-9]+", True),
        ("DE|FR", True),
        ("(abc)*d", True),
        ("(ab){20}c{1,30}", True),
        ("a*b*", False),
        ("(a|b)*", False),
        ("(a*)*", False),
        ("(a|b){2}", False),
        ("(a{2,})+", False),
        ("(|){40}a", False),
    ],
)
def test_backtracking_has_one_choice_at_most(pattern: str, simple: bool) -> None:
    assert (Pattern(pattern)._simple is not None) == simple


def test_remembers_a_bounded_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_MOST_REMEMBERED", 10)
    found = Pattern("(.*a.{3}|x)")
    for number in range(100):
        text = f"{number:b}".replace("1", "a")
        assert found.matches(text) == bool(re.fullmatch("(.*a.{3}|x)", text))
        assert len(found._states) <= 10
        assert len(found._bits) <= 10

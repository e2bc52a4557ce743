"""Regular expressions that take time in proportion to the text, whatever both are."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

LONGEST_PATTERN = 1000  # characters
MOST_POSITIONS = 300  # of characters in a pattern whose repetitions are written out

_MOST_REMEMBERED = 10_000  # steps

# A quantifier is one as `re` has it: {2}, {2,}, {,3}, {2,3} and {,}; but not {}.
_QUANTIFIER = re.compile(r"(?:([*+?])|\{(?!\})(\d*)(?:(,)(\d*))?\})([?+]?)")
_ATOM = re.compile(
    r"\[\^?\]?(?:\\.|[^\]\\])*\]"
    r"|\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|0[0-7]{0,2}|.)"
    r"|[^\\]",
    re.DOTALL,
)
_ANCHOR = re.compile(r"\^|\$|\\[AZ]")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")
_NO_CHARACTER = re.compile(r"\\[1-9AbBZ]")  # what refers to a group, or to a place


class PatternError(ValueError):
    """A text that is no pattern, or none that can be matched in bounded time."""


@dataclass(frozen=True)
class _Part:
    """Positions of a pattern: which may come first and last, as bits, and whether none need to."""

    first: int = 0
    last: int = 0
    empty: bool = True


@dataclass(eq=False)
class _State:
    """Where matching may have got to: the positions that may come next."""

    expected: int
    accepts: bool
    by_character: dict[str, _State] = field(default_factory=dict)


class Pattern:
    """A pattern in Python's syntax, which all of a text must match.

    Its automaton has a state for each set of positions (V. M. Glushkov, 1961); states are made when
    they are first needed, and a bounded number of steps is remembered. Where there is one choice to
    try, `re` takes little time, too, and less. Look-around, back references, boundaries, possessive
    quantifiers and flags are not known. Raises PatternError.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > LONGEST_PATTERN:
            raise PatternError(f"must have at most {LONGEST_PATTERN} characters")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what may once mean something else
                compiled = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise PatternError(f"is no regular expression: {error}") from None
        parser = _Parser(pattern)
        whole = parser.part()
        self._simple = compiled if parser.choices <= 1 else None
        self._follow = parser.follow
        self._last = whole.last
        self._positions = [(re.compile(atom), bits) for atom, bits in parser.atoms.items()]
        self._first = whole.first, whole.empty
        self._forget()

    def matches(self, text: str) -> bool:
        if self._simple is not None:
            return self._simple.fullmatch(text) is not None
        state = self._start
        for character in text:
            following = state.by_character.get(character)
            if following is None:
                following = self._step(state, character)
            if not following.expected and not following.accepts:
                return False
            state = following
        return state.accepts

    def _forget(self) -> None:
        self._start = _State(*self._first)
        self._states: dict[int, _State] = {}
        self._bits: dict[str, int] = {}
        self._remembered = 0

    def _step(self, state: _State, character: str) -> _State:
        if self._remembered >= _MOST_REMEMBERED:
            self._forget()
        self._remembered += 1
        bits = self._bits.get(character)
        if bits is None:
            of_atoms = (bits for atom, bits in self._positions if atom.fullmatch(character))
            bits = self._bits[character] = sum(of_atoms)
        reached = state.expected & bits
        following = self._states.get(reached)
        if following is None:
            expected = 0
            for position in _positions(reached):
                expected |= self._follow[position]
            following = self._states[reached] = _State(expected, bool(reached & self._last))
        state.by_character[character] = following
        return following


class _Parser:
    """Finds the positions of a pattern that `re` has found to be well formed."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._place = 0
        self._depth = 0
        self.choices = 0  # of how to go on, as backtracking would meet them in a row
        self.atoms: dict[str, int] = {}  # what matches a character -> its positions, as bits
        self.follow: list[int] = []  # of each position: those that may come next, as bits

    def part(self) -> _Part:
        """The alternatives up to the end, or to the end of the group."""
        whole = self._sequence()
        while self._next() == "|":
            self._place += 1
            self.choices += 1
            other = self._sequence()
            whole = _Part(
                whole.first | other.first, whole.last | other.last, whole.empty or other.empty
            )
        return whole

    def _next(self) -> str:
        return self._pattern[self._place : self._place + 1]

    def _sequence(self) -> _Part:
        whole = _Part()
        start = self._place
        while self._next() not in ("", "|", ")"):
            if anchor := _ANCHOR.match(self._pattern, self._place):
                self._pass(anchor, start)
            else:
                whole = self._then(whole, self._repeated())
        return whole

    def _pass(self, anchor: re.Match[str], start: int) -> None:
        """Go beyond an anchor that says what is so anyway."""
        self._place = anchor.end()
        begins = anchor[0] in ("^", "\\A")
        is_so = anchor.start() == start if begins else self._next() in ("", "|")
        if self._depth or not is_so:
            raise _unknown(anchor[0])

    def _repeated(self) -> _Part:
        start = self._place
        whole = self._one()
        end = self._place
        found = _QUANTIFIER.match(self._pattern, end)
        if found is None:
            return whole
        sign, least, comma, most, manner = found.groups()
        if manner == "+":
            raise _unknown(found[0])
        low = int(least or 0) if sign is None else int(sign == "+")
        high = 1 if sign == "?" else None
        if sign is None:
            high = low if comma is None else int(most) if most else None
        self.choices += low != high
        if not whole.first:
            self.choices += 2  # it has no characters, and is not written out: who knows
        if high == 0:
            whole = _Part()
        elif whole.first:
            again = [self._again(start) for _ in range(max(low, high or 1) - 1)]
            for number, copy in enumerate(again, start=2):
                whole = self._then(whole, copy if number <= low else _optional(copy))
            if high is None:
                looped = again[-1] if again else whole
                self._link(looped.last, looped.first)
            if low == 0:
                whole = _optional(whole)
        self._place = found.end()
        return whole

    def _again(self, start: int) -> _Part:
        """Read what stands at a place once more, as positions of its own."""
        self._place = start
        return self._one()

    def _one(self) -> _Part:
        """A character, or a group."""
        if self._next() == "(":
            group = _GROUP.match(self._pattern, self._place)
            if group is None:
                raise _unknown(self._pattern[self._place : self._place + 3])
            self._place = group.end()
            self._depth += 1
            whole = self.part()
            self._depth -= 1
            self._place += 1
            return whole
        found = _ATOM.match(self._pattern, self._place)
        if found is None or _NO_CHARACTER.match(found[0]):
            raise _unknown(found[0] if found else self._next())
        self._place = found.end()
        return self._position(found[0])

    def _position(self, atom: str) -> _Part:
        if len(self.follow) == MOST_POSITIONS:
            raise PatternError(
                f"is too long: it has more than {MOST_POSITIONS} characters when its repetitions"
                " are written out"
            )
        bit = 1 << len(self.follow)
        self.follow.append(0)
        self.atoms[atom] = self.atoms.get(atom, 0) | bit
        return _Part(bit, bit, empty=False)

    def _then(self, one: _Part, other: _Part) -> _Part:
        self._link(one.last, other.first)
        return _Part(
            one.first | other.first if one.empty else one.first,
            one.last | other.last if other.empty else other.last,
            one.empty and other.empty,
        )

    def _link(self, before: int, after: int) -> None:
        for position in _positions(before):
            self.follow[position] |= after


def _optional(part: _Part) -> _Part:
    return _Part(part.first, part.last, empty=True)


def _positions(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _unknown(token: str) -> PatternError:
    return PatternError(
        f"has {token!r}: look-around, back references, boundaries, possessive quantifiers and flags"
        " are not known, for patterns must take little time; all of the text is matched anyway"
    )

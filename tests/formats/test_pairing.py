"""Requests and responses find each other, whichever comes first."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import permutations

import pytest

from ml_exporter.formats import pairing
from ml_exporter.formats.pairing import WAIT, Half, HalfStore, Memory, Paired, Pairing, Side
from ml_exporter.store.halves import Halves

Came = tuple[bytes, Side, bytes]


def request(key: str) -> Came:
    return key.encode(), "request", f"request {key}".encode()


def response(key: str) -> Came:
    return key.encode(), "response", f"response {key}".encode()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> Iterator[HalfStore]:
    if request.param == "memory":
        yield Memory()
        return
    with closing(sqlite3.connect(":memory:")) as db:
        Halves(db, "other", "predictions").put([Half(b"a", "request", 1.0, b"of another model")])
        yield Halves(db, "m", "predictions")


class Clock:
    now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pair(store: HalfStore, clock: Clock) -> Callable[..., Paired]:
    """Pair some halves for good, each time as after a restart."""

    def pair(*came: Came) -> Paired:
        paired = Pairing(store, clock).pair(came)
        paired.settle()
        return paired

    return pair


def keys(paired: Paired) -> list[str]:
    for one in paired.pairs:
        key = one.request.key.decode()
        assert (one.request.data, one.response.data) == (request(key)[2], response(key)[2])
    return [one.request.key.decode() for one in paired.pairs]


@pytest.mark.parametrize("came", [*permutations([request("a"), response("a"), request("b")])])
def test_whichever_is_first(came: list[Came], pair: Callable[..., Paired]) -> None:
    assert keys(pair(*came)) == ["a"]
    assert keys(pair(response("b"))) == ["b"]


@pytest.mark.parametrize("came", [*permutations([request("a"), response("a")])])
def test_one_by_one(came: list[Came], pair: Callable[..., Paired]) -> None:
    first, second = came
    assert keys(pair(first)) == []
    assert keys(pair(second)) == ["a"]


def test_pairs_are_in_the_order_in_which_they_became_whole(pair: Callable[..., Paired]) -> None:
    pair(request("b"))
    assert keys(pair(request("a"), response("c"), response("b"), request("c"))) == ["b", "c"]


@pytest.mark.parametrize(
    ("came", "repeated"),
    [
        ([[request("a"), request("a")]], [1]),
        ([[request("a")], [request("a")]], [0, 1]),
        ([[request("a"), response("a"), request("a"), response("a")]], [2]),
        ([[request("a"), response("a")], [response("a")], [request("a")]], [0, 1, 1]),
    ],
)
def test_what_comes_again_makes_no_second_pair(
    came: list[list[Came]], repeated: list[int], pair: Callable[..., Paired]
) -> None:
    results = [pair(*halves) for halves in came]
    assert [one.repeated for one in results] == repeated
    is_whole = any(response("a") in halves for halves in came)
    assert sum(len(one.pairs) for one in results) == is_whole


def test_nothing_is_remembered_until_it_is_settled(store: HalfStore) -> None:
    pairing = Pairing(store)
    for _ in range(2):
        paired = pairing.pair([request("a"), request("b"), response("b")])
        assert keys(paired) == ["b"]
    assert store.totals() == (0, 0)
    paired.settle()
    assert store.totals() == (2, len(request("a")[2]))
    for _ in range(2):
        assert keys(pairing.pair([response("a")])) == ["a"]


def test_who_waits_an_hour_is_let_go(
    store: HalfStore, clock: Clock, pair: Callable[..., Paired]
) -> None:
    pair(request("a"), request("b"), response("b"), request("c"))
    clock.now += WAIT - 1
    assert pair(request("d")).let_go == 0
    clock.now += 1
    paired = pair(response("c"))  # late, and there
    assert keys(paired) == ["c"]
    assert paired.let_go == 1  # a; that b was whole is forgotten, too
    assert store.totals() == (2, len(request("d")[2]))
    assert pair().let_go == 0
    assert pair(response("b")).repeated == 0


@pytest.mark.parametrize("bound", ["MOST_HALVES", "LARGEST_HALVES"])
def test_the_oldest_make_room(
    bound: str,
    store: HalfStore,
    clock: Clock,
    pair: Callable[..., Paired],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = len(request("a")[2])
    monkeypatch.setattr(pairing, bound, 3 if bound == "MOST_HALVES" else 3 * size)
    for key in "abc":
        clock.now += 1
        assert pair(request(key)).let_go == 0
    clock.now += 1
    assert pair(request("d"), request("e")).let_go == 2
    assert store.totals() == (3, 3 * size)
    assert sorted(store.find([b"a", b"b", b"c", b"d", b"e"])) == [b"c", b"d", b"e"]


def test_the_totals_are_those_of_the_store(store: HalfStore, clock: Clock) -> None:
    """However long one goes on, it knows what one that begins would."""
    one = Pairing(store, clock)
    for number in range(50):
        clock.now += WAIT / 10
        side = response if number % 3 else request
        one.pair([side(str(number // 3)), request(f"alone {number}")]).settle()
        assert (one._count, one._size) == store.totals()


def test_many_are_found_at_once(store: HalfStore, pair: Callable[..., Paired]) -> None:
    some = [str(number) for number in range(1200)]
    pair(*map(request, some))
    assert keys(pair(*map(response, some))) == some

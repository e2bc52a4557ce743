import pytest

from ml_exporter.request_counts import (
    BUCKETS,
    COUNTS_SIZE,
    MOST_MODELS,
    OTHER_MODELS,
    RequestCounts,
)


@pytest.fixture
def memory() -> memoryview:
    return memoryview(bytearray(COUNTS_SIZE))


@pytest.fixture
def counts(memory: memoryview) -> RequestCounts:
    return RequestCounts(memory)


def test_models_keep_their_places(counts: RequestCounts, memory: memoryview) -> None:
    assert [counts.place(name) for name in ("credit", "spam", "credit", "größe")] == [0, 1, 0, 2]
    assert RequestCounts(memory).names() == ["credit", "spam", "größe"]
    assert RequestCounts(memory).place("spam") == 1


def test_a_long_name_is_cut_between_its_characters(counts: RequestCounts) -> None:
    counts.place("€" * 100)
    assert counts.names() == ["€" * 84]


def test_beyond_the_last_place_all_are_others(counts: RequestCounts) -> None:
    places = [counts.place(f"model {number}") for number in range(MOST_MODELS + 9)]
    assert places == [*range(MOST_MODELS), *[MOST_MODELS - 1] * 9]
    assert counts.names()[-2:] == [f"model {MOST_MODELS - 2}", OTHER_MODELS]


def test_requests_by_method_and_status(counts: RequestCounts, memory: memoryview) -> None:
    place = counts.place("credit")
    other = counts.place("spam")
    for method, code in ((b"POST", 200), (b"POST", 200), (b"BREW", 418), (b"GET", 503)):
        counts.count(place, method, code, 0.01, 0.005)
    counts.count(other, b"POST", 200, 0.01, 0.005)
    read = RequestCounts(memory)
    assert read.requests(place) == {("POST", 200): 2, ("<other>", 418): 1, ("GET", 503): 1}
    assert read.requests(other) == {("POST", 200): 1}


def test_durations_are_cumulative(counts: RequestCounts) -> None:
    place = counts.place("credit")
    for duration in (0.001, 0.0011, 0.3, 99.0):
        counts.count(place, b"POST", 200, duration, duration / 2)
    requests, upstream = counts.durations(place)
    assert len(requests) == len(BUCKETS) + 2
    assert requests[:2].tolist() == [1, 2]
    assert requests[BUCKETS.index(0.5)] == 3
    assert requests[-2:].tolist() == [4, pytest.approx(99.3021)]
    assert upstream[0] == 2
    assert upstream[-2:].tolist() == [4, pytest.approx(99.3021 / 2)]


def test_what_is_dropped(counts: RequestCounts) -> None:
    counts.drop("rate")
    counts.drop("rate")
    assert counts.dropped()["rate"] == 2
    assert sum(counts.dropped().values()) == 2


def test_what_scrapes_have_seen(counts: RequestCounts) -> None:
    assert not counts.was_seen(1, ("POST", 200))
    counts.saw(1, ("POST", 200))
    assert counts.was_seen(1, ("POST", 200))
    assert not counts.was_seen(0, ("POST", 200))
    assert not counts.was_seen(1, ("POST", 201))
    assert counts.requests(1) == {}

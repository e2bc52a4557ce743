"""Who has seen what."""

import pytest

from ml_exporter.families import Family
from ml_exporter.publication import Publication


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def publication(clock: Clock) -> Publication:
    return Publication(60, clock)


def test_an_edition_stays_as_it_was_published(publication: Publication) -> None:
    hits = Family("hits_total", "Hits.", "counter")
    hits.inc(1)
    edition = publication.publish([hits])
    hits.inc(1)
    assert publication.current is edition
    assert edition.samples[0].values.tolist() == [1]
    assert publication.publish([hits]).samples[0].values.tolist() == [2]


def test_there_is_nothing_to_see_at_first(publication: Publication) -> None:
    assert publication.current.samples == []


@pytest.mark.parametrize(
    ("scrapes", "is_over"),
    [
        ([], False),
        ([2], False),
        ([2, 2], True),
        ([2, 3], True),
        ([1, 2], False),
        ([1, 2, 2], True),
        ([2, 1], False),  # which began before, and ended after
        ([3, 3], True),
    ],
)
def test_a_birth_is_over_when_two_scrapes_have_seen_it(
    publication: Publication, scrapes: list[int], is_over: bool
) -> None:
    birth = publication.wait_for(2)
    for edition in scrapes:
        publication.scraped(edition)
    assert birth.is_over is is_over


def test_a_birth_is_over_when_nobody_has_come(publication: Publication, clock: Clock) -> None:
    birth = publication.wait_for(1)
    clock.now += 59.9
    assert not birth.is_over
    clock.now += 0.1
    assert birth.is_over


def test_scrapes_of_before_count_for_what_was_there(publication: Publication) -> None:
    publication.scraped(5)
    publication.scraped(5)
    assert publication.wait_for(5).is_over
    assert not publication.wait_for(6).is_over


def test_no_birth_waits_where_that_is_said(clock: Clock) -> None:
    assert Publication(0, clock).wait_for(1).is_over

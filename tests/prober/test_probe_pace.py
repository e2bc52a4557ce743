"""Probes wait while the model fails, is slow or busy."""

import pytest

from ml_exporter.prober.probe_pace import Breaker, Load, Traffic


def loads(*seconds: tuple[int, int, float]) -> list[bool]:
    """Whether the load is high after each look, ten seconds of requests, errors, duration apart."""
    load, found = Load(), []
    requests = errors = 0
    total = 0.0
    load.look(0.0, Traffic(0, 0, 0.0))
    for number, (more, failed, duration) in enumerate(seconds, start=1):
        requests, errors, total = requests + more, errors + failed, total + more * duration
        load.look(10.0 * number, Traffic(requests, errors, total))
        found.append(load.is_high)
    return found


CALM = (100, 0, 0.01)


@pytest.mark.parametrize(
    ("last", "is_high"),
    [
        (CALM, False),
        ((0, 0, 0.0), False),
        ((190, 0, 0.01), False),
        ((210, 0, 0.01), True),
        ((100, 0, 0.019), False),
        ((100, 0, 0.021), True),
        ((100, 1, 0.01), False),
        ((100, 2, 0.01), True),
    ],
)
def test_the_load_is_high(last: tuple[int, int, float], is_high: bool) -> None:
    assert loads(CALM, CALM, last) == [False, False, is_high]


def test_what_is_usual_follows() -> None:
    found = loads(CALM, *[(300, 0, 0.05)] * 60)
    assert found[1]
    assert not found[-1]


def test_nothing_is_known_at_first() -> None:
    load = Load()
    assert load.is_high
    load.look(0.0, Traffic(5, 0, 1.0))
    load.look(9.0, Traffic(5, 0, 1.0))
    assert load.is_high


def test_a_proxy_that_began_anew_is_looked_at_anew() -> None:
    load = Load()
    load.look(0.0, Traffic(1000, 0, 10.0))
    load.look(10.0, Traffic(50, 0, 0.5))
    assert load.is_high
    load.look(20.0, Traffic(100, 0, 1.0))
    assert not load.is_high


def test_each_pause_is_longer_until_a_round_has_worked() -> None:
    breaker = Breaker()
    assert not breaker.is_open(0)
    for pause in (10, 20, 40, 80, 160, 320, 600, 600):
        breaker.failed(1000)
        assert breaker.is_open(1000 + pause - 1)
        assert not breaker.is_open(1000 + pause)
    breaker.worked()
    breaker.failed(1000)
    assert not breaker.is_open(1010)

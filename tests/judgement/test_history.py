import numpy as np
import pytest

from ml_exporter.families import Family, Frozen, freeze
from ml_exporter.judgement.history import History
from ml_exporter.publication import Edition

START = 1_700_000_000.0


def counter(name: str, *series: str, **of: str) -> Family:
    family = Family(name, "", "counter", ("bin",), of=of)
    for one in series:
        family.add(one)
    return family


def remember(history: History, seconds: float, *families: Family) -> None:
    history.add(Edition(1, freeze(families)), START + seconds)


def counted(samples: list[Frozen]) -> dict[str, float]:
    return {
        labels[-1]: value
        for frozen in samples
        for labels, value in zip(frozen.family.label_sets, frozen.values.tolist(), strict=False)
    }


def test_a_window_has_what_was_counted_in_it():
    history, rows = History(), counter("rows", "a", "b")
    for second in range(0, 601):
        rows.set(second, "a")
        remember(history, second, rows)
    assert counted(history.window(300).samples) == {"a": 300, "b": 0}
    assert history.window(300).complete
    assert history.window(300).seconds == 300


def test_a_window_longer_than_history_begins_with_the_oldest_snapshot():
    history, rows = History(), counter("rows", "a")
    rows.set(70, "a")  # as restored from the state
    remember(history, 0, rows)
    rows.inc(7, "a")
    remember(history, 60, rows)
    window = history.window(3600)
    assert counted(window.samples) == {"a": 7}
    assert (window.seconds, window.complete) == (60, False)


def test_nothing_before_the_first_edition():
    assert History().window(300) is None
    assert History().span == 0


def test_a_counter_that_fell_or_was_not_there_counts_from_0():
    history, rows = History(), counter("rows", "a", "b")
    rows.set(100, "a")
    remember(history, 0, rows)
    rows.set(30, "a")
    rows.set(4, "born later")
    remember(history, 10, rows)
    assert counted(history.window(10).samples) == {"a": 30, "b": 0, "born later": 4}


def test_gauges_are_as_they_are_now():
    history, gauge = History(), Family("gauge", "", "gauge", ("bin",))
    for second, value in ((0, 5), (10, 3)):
        gauge.set(value, "a")
        remember(history, second, gauge)
    assert counted(history.window(10).samples) == {"a": 3}


def test_a_reload_makes_new_families_of_the_same_series():
    history, before = History(), counter("rows", "a", "b")
    before.set(10, "a")
    remember(history, 0, before)
    after = counter("rows", "b", "a")
    after.set(12, "a")
    remember(history, 10, after)
    assert counted(history.window(10).samples) == {"a": 2, "b": 0}


def test_series_that_are_gone_are_forgotten_and_the_others_are_not():
    history = History()
    kept, gone = counter("kept", "a", x="1"), counter("rows", "a", baseline_id="old")
    remember(history, 0, kept, gone)
    kept.set(1, "a")
    gone.set(5, "a")
    remember(history, 10, kept, gone)
    learned = counter("rows", "a", baseline_id="new")
    learned.set(3, "a")
    kept.set(2, "a")
    remember(history, 20, learned, kept)
    assert [f.values.tolist() for f in history.window(20).samples] == [[3.0], [2.0]]
    times, (of_kept, of_gone) = history.over_time([kept, gone])
    assert (times - START).tolist() == [0, 10, 20]
    assert of_kept.ravel().tolist() == [0, 1, 2]
    assert of_gone.shape == (3, 0)


@pytest.mark.parametrize("every", [3, 7, 90])
def test_a_day_is_kept_in_bounded_memory_and_no_window_begins_late(every):
    history, rows = History(), counter("rows", "a")
    for second in range(0, 100_000, every):
        rows.set(second, "a")
        remember(history, second, rows)
    times, (values,) = history.over_time([rows])
    assert len(times) < 330
    assert np.all(np.diff(times) > 0)
    assert np.array_equal(times - START, values.ravel())
    for seconds, coarseness in ((300, 5), (3600, 60), (86400, 600)):
        assert seconds <= history.window(seconds).seconds <= seconds + coarseness + every
    assert history.span <= 86400 + 2 * 600


def test_a_clock_that_is_set_back_forgets_the_future():
    history, rows = History(), counter("rows", "a")
    for second in (0, 10, 20, 5):
        rows.inc(1, "a")
        remember(history, second, rows)
    times, _ = history.over_time([rows])
    assert (times - START).tolist() == [0, 5]

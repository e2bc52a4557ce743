"""What the proxy counted, as scrapes see it."""

from collections.abc import Iterator

import pytest

from ml_exporter.capture import Capture, write_frame
from ml_exporter.publication import Edition, Publication
from ml_exporter.request_counts import DROP_REASONS
from ml_exporter.service.proxied import Proxied
from ml_exporter.sources.capture import Attachment


@pytest.fixture
def capture() -> Iterator[Capture]:
    made = Capture.create(1 << 20)
    made.counts.place("credit")
    yield made
    made.close()


class Telemetry:
    """A process that publishes what the proxy counted."""

    def __init__(self, attachment: Attachment) -> None:
        self.publication = Publication(60)
        self.proxied = Proxied(attachment)

    def publish(self) -> Edition:
        self.proxied.follow({"credit": "3"})
        self.proxied.update()
        edition = self.publication.publish(self.proxied.families)
        self.proxied.published(self.publication.wait_for(edition.number))
        return edition

    def scraped(self) -> None:
        """Twice, as Prometheus does."""
        for _ in range(2):
            self.publication.scraped(self.publication.current.number)

    def shown(self, name: str = "ml_requests_total") -> dict[str, float]:
        """Samples of the current edition by their labels, those of 0 left out."""
        return {
            " ".join([suffix, *labels]).strip(): value
            for one in self.publication.current.samples
            if one.family.name == name
            for suffix, labels, value in zip(
                one.family.suffixes, one.family.label_sets, one.values.tolist(), strict=False
            )
            if value
        }


def ask(capture: Capture, code: int = 200, times: int = 1) -> None:
    for _ in range(times):
        capture.counts.count(0, b"POST", code, 0.02, 0.01)


def test_requests_wait_until_their_series_were_seen_at_0(capture: Capture) -> None:
    telemetry = Telemetry(Attachment(capture))
    ask(capture)
    telemetry.publish()
    assert telemetry.shown() == {}
    telemetry.publish()
    assert telemetry.shown() == {}
    telemetry.scraped()
    telemetry.publish()
    assert telemetry.shown() == {"credit 3 200 POST": 1}
    durations = telemetry.shown("ml_request_duration_seconds")
    assert durations["_count credit 3"] == 1
    assert durations["_sum credit 3"] == 0.02
    assert "_bucket credit 3 0.01" not in durations
    assert durations["_bucket credit 3 0.025"] == durations["_bucket credit 3 +Inf"] == 1


def test_a_status_that_nobody_expected_is_born_at_0(capture: Capture) -> None:
    telemetry = Telemetry(Attachment(capture))
    telemetry.publish()
    telemetry.scraped()
    ask(capture, 418)
    ask(capture, 503)
    edition = telemetry.publish()
    assert telemetry.shown() == {"credit 3 503 POST": 1}
    assert any(("credit", "3", "418", "POST") in s.family.label_sets for s in edition.samples)
    telemetry.scraped()
    telemetry.publish()
    assert telemetry.shown()["credit 3 418 POST"] == 1


def test_the_last_trace_of_requests_that_failed_is_their_exemplar(capture: Capture) -> None:
    attachment = Attachment(capture)
    telemetry = Telemetry(attachment)
    telemetry.publish()
    telemetry.scraped()
    for code in (503, 599):
        ask(capture, code)
        head = b"POST / HTTP/1.1\r\nX-Request-Id: %d\r\n\r\n" % code
        frame = write_frame(0, code, 1.7e9, 0.02, 0.01, 0.0, head, b"", b"", b"")
        attachment.failed["credit"].observe([frame])

    def exemplars() -> dict[str, str]:
        (requests,) = (
            one for one in telemetry.publish().samples if one.family.name == "ml_requests_total"
        )
        sets = requests.family.label_sets
        return {sets[index][2]: one.trace for index, one in requests.exemplars.items()}

    assert exemplars() == {"503": "503"}  # scrapes haven't seen the other one at 0
    telemetry.scraped()
    assert exemplars() == {"503": "503", "599": "599"}


def test_another_process_goes_on_where_the_last_one_was(capture: Capture) -> None:
    first = Telemetry(Attachment(capture))
    first.publish()
    first.scraped()
    ask(capture, times=5)
    first.publish()
    assert first.shown() == {"credit 3 200 POST": 5}
    ask(capture, times=2)
    second = Telemetry(Attachment(capture))
    second.publish()
    assert second.shown() == {"credit 3 200 POST": 7}


def test_a_buffer_that_is_replaced_begins_at_0(capture: Capture) -> None:
    attachment = Attachment(capture)
    telemetry = Telemetry(attachment)
    telemetry.publish()
    telemetry.scraped()
    ask(capture, times=5)
    telemetry.publish()
    other = Capture.create(1 << 20)
    other.counts.place("credit")
    ask(other)
    attachment._capture = other
    telemetry.publish()
    assert telemetry.shown() == {}
    telemetry.publish()
    telemetry.scraped()
    telemetry.publish()
    assert telemetry.shown() == {"credit 3 200 POST": 1}
    other.close()


def test_what_was_dropped_is_shown_by_reason(capture: Capture) -> None:
    telemetry = Telemetry(Attachment(capture))
    edition = telemetry.publish()
    (dropped,) = (one for one in edition.samples if "dropped" in one.family.name)
    assert [labels[0] for labels in dropped.family.label_sets] == list(DROP_REASONS)
    capture.counts.drop("rate")
    telemetry.publish()
    assert telemetry.shown("ml_exporter_observations_dropped_total") == {"rate": 1}


def test_without_a_proxy_there_is_nothing() -> None:
    telemetry = Telemetry(Attachment())
    assert telemetry.publish().samples == []

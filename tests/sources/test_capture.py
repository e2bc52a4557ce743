from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_exporter.capture import Capture, read_frame, split_frames, write_frame
from ml_exporter.sources.capture import Attachment, CaptureSource
from ml_exporter.sources.parts import Chunk
from ml_exporter.store.store import Position

SIZE = 1 << 20


@pytest.fixture
def capture() -> Iterator[Capture]:
    made = Capture.create(SIZE)
    made.counts.place("credit")
    made.counts.place("spam")
    yield made
    made.close()


def put(capture: Capture, *numbers: int, model: int = 0, size: int = 0) -> None:
    for number in numbers:
        body = b"%d" % number + b" " * size
        assert capture.put(write_frame(model, 200, 0.0, 0.0, 0.0, 0.0, b"", body, b"", b""))


def source(
    attachment: Attachment, positions: dict[str, Position] | None = None, model: str = "credit"
) -> CaptureSource:
    made = CaptureSource(attachment, model, {} if positions is None else positions)
    made.look()
    return made


def numbers(chunk: Chunk | None) -> list[int]:
    if chunk is None:
        return []
    return [int(read_frame(frame).request_body) for frame in split_frames(chunk.data)]


def count(reader: CaptureSource) -> list[int]:
    """Read a chunk, and be done with it."""
    chunk = reader.next()
    if chunk is not None:
        reader.advance(chunk.part, chunk.after(len(chunk.data)))
    return numbers(chunk)


def test_each_model_has_its_own(capture: Capture) -> None:
    attachment = Attachment(capture)
    credit, spam = source(attachment), source(attachment, model="spam")
    put(capture, 1, 2)
    put(capture, 3, model=1)
    put(capture, 4)
    assert (count(credit), count(credit)) == ([1, 2, 4], [])
    assert (count(spam), count(spam)) == ([3], [])


def test_what_is_not_counted_comes_again(capture: Capture) -> None:
    reader = source(Attachment(capture))
    put(capture, 1, 2)
    assert numbers(reader.next()) == numbers(reader.next()) == [1, 2]


def fail(capture: Capture, trace: str, model: int = 0) -> None:
    head = f"POST /predict?key=secret HTTP/1.1\r\nX-Request-Id: {trace}\r\n\r\n".encode()
    assert capture.put(write_frame(model, 503, 1e9, 0.5, 0.25, 0.0, head, b"", b"", b""))


def test_requests_that_failed_are_no_rows_and_are_told_of_once(capture: Capture) -> None:
    attachment = Attachment(capture)
    reader = source(attachment)
    put(capture, 1)
    fail(capture, "a")
    fail(capture, "of another", model=1)
    put(capture, 2)
    assert numbers(reader.next()) == numbers(reader.next()) == [1, 2]
    (failed,) = attachment.failed["credit"].take()
    assert (failed.trace, failed.code, failed.path) == ("a", 503, "/predict")
    assert count(reader) == [1, 2]
    fail(capture, "b")
    attachment.is_ending = True  # and doesn't wait for more
    assert reader.next() is None
    assert reader.lag() == 0
    assert [one.trace for one in attachment.failed["credit"].take()] == ["b"]
    assert attachment.failed["credit"].take() == []


def test_a_chunk_that_is_half_counted_is_read_as_it_was(capture: Capture) -> None:
    reader = source(Attachment(capture))
    put(capture, 1)
    put(capture, 2, model=1)
    put(capture, 3)
    chunk = reader.next()
    assert chunk is not None
    reader.advance(chunk.part, chunk.within(1))
    put(capture, 4)
    assert numbers(reader.next()) == [1, 3]


def test_room_is_made_when_all_have_saved_what_they_counted(capture: Capture) -> None:
    attachment = Attachment(capture)
    credit, spam = source(attachment), source(attachment, model="spam")
    put(capture, 1)
    count(credit)
    assert capture.read_to == 0
    credit.committed()
    assert capture.read_to == 0
    spam.next()
    spam.committed()
    assert capture.read_to == capture.written
    assert (credit.lag(), spam.lag()) == (0, 0)


def test_a_model_that_is_gone_is_not_waited_for(capture: Capture) -> None:
    attachment = Attachment(capture)
    credit, spam = source(attachment), source(attachment, model="spam")
    put(capture, 1)
    count(credit)
    spam.close()
    credit.committed()
    assert capture.read_to == capture.written


def test_without_models_nothing_is_kept(capture: Capture) -> None:
    put(capture, 1)
    Attachment(capture).release()
    assert capture.read_to == capture.written


def test_where_little_room_is_left_it_is_time_to_save(capture: Capture) -> None:
    attachment = Attachment(capture)
    reader = source(attachment)
    put(capture, 1, size=500_000)
    count(reader)
    assert not attachment.is_pressed
    put(capture, 2, size=100_000)
    assert attachment.is_pressed
    reader.committed()
    assert not attachment.is_pressed


def test_little_is_left_to_become_more(capture: Capture) -> None:
    now = [0.0]
    attachment = Attachment(capture, clock=lambda: now[0])
    reader = source(attachment)
    put(capture, 1)
    assert count(reader) == [1]
    put(capture, 2)
    assert count(reader) == []
    now[0] += 0.3
    assert count(reader) == [2]
    put(capture, 3, size=SIZE // 8)
    assert count(reader) == [3]
    put(capture, 4)
    attachment.is_ending = True
    assert count(reader) == [4]


def test_a_process_goes_on_where_the_last_one_saved(capture: Capture) -> None:
    positions: dict[str, Position] = {}
    reader = source(Attachment(capture), positions)
    put(capture, 1, 2)
    count(reader)
    assert reader.moved == {capture.id}
    put(capture, 3)
    assert count(source(Attachment(capture), dict(positions))) == [3]


def test_a_process_that_remembers_nothing_has_what_is_kept(capture: Capture) -> None:
    put(capture, 1)
    capture.release(capture.written)
    put(capture, 2)
    assert count(source(Attachment(capture))) == [2]


def test_positions_in_other_buffers_are_forgotten(capture: Capture) -> None:
    positions = {"0123456789abcdef": Position(1000)}
    reader = source(Attachment(capture), positions)
    assert positions == {}
    assert reader.moved == {"0123456789abcdef"}


def test_a_buffer_is_found_when_a_proxy_has_made_it(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "capture"
    reader = source(Attachment(path=path, clock=lambda: now[0]))
    assert reader.next() is None
    assert "no such file" in reader.errors["proxy"]
    assert reader.source_id == "none"
    first = Capture.at(path, SIZE)
    first.counts.place("credit")
    put(first, 1)
    now[0] += 2
    assert count(reader) == [1]
    assert reader.errors == {}
    first.close()
    second = Capture.at(path, 2 * SIZE)
    second.counts.place("credit")
    put(second, 2)
    now[0] += 2
    assert count(reader) == [2]
    assert set(reader.positions) == {second.id}
    second.close()


def test_what_makes_no_sense_is_passed_over(capture: Capture) -> None:
    reader = source(Attachment(capture))
    put(capture, 1)
    capture._data[:4] = b"\xff\xff\xff\x7f"
    assert reader.next() is None
    assert "no frame" in reader.errors["proxy"]
    put(capture, 2)
    assert count(reader) == [2]

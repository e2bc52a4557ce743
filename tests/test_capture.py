import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.capture import Capture, CaptureError, Frame, read_frame, split_frames, write_frame

SIZE = 1 << 20


@pytest.fixture
def capture() -> Iterator[Capture]:
    made = Capture.create(SIZE)
    yield made
    made.close()


def frame(body: bytes = b"hello", model: int = 3) -> bytes:
    return write_frame(
        model, 200, 1.5e9, 0.25, 0.125, 0.5, b"POST / HTTP/1.1", body, b"HTTP/1.1 200", b""
    )


def test_a_frame_is_read_as_it_was_written() -> None:
    assert read_frame(frame()) == Frame(
        3, 200, 1.5e9, 0.25, 0.125, 0.5, b"POST / HTTP/1.1", b"hello", b"HTTP/1.1 200", b""
    )


def test_frames_that_follow_each_other() -> None:
    frames = [frame(b"a"), frame(b"bc"), frame(b"")]
    assert split_frames(b"".join(frames)) == frames


@pytest.mark.parametrize("data", [frame()[:10], frame()[:-1], b"\0" * 40, b"\xff" * 100])
def test_what_is_no_frame(data: bytes) -> None:
    with pytest.raises(ValueError, match="frame"):
        split_frames(data)
    with pytest.raises(ValueError, match="frame"):
        read_frame(data)


@given(st.lists(st.tuples(st.integers(0, 300_000), st.booleans()), max_size=60))
def test_frames_come_out_in_the_order_in_which_they_went_in(
    steps: list[tuple[int, bool]],
) -> None:
    """Those that are refused had no room, and no other is lost."""
    capture = Capture.create(SIZE)
    waiting: list[bytes] = []
    offset = 0
    for number, (size, reads) in enumerate(steps):
        one = frame(b"%d" % number + b"x" * size)
        if capture.put(one):
            waiting.append(one)
        else:
            assert capture.written - capture.read_to + 2 * len(one) > SIZE
        if reads:
            taken, offset = capture.take(offset, 1)
            assert taken == waiting[:1]
            del waiting[:1]
            capture.release(offset)
    assert capture.take(offset, 1 << 30)[0] == waiting
    capture.close()


def test_memory_that_was_used_is_used_again() -> None:
    capture = Capture.create(64 << 20)
    for _ in range(3000):
        assert capture.put(frame(b"x" * 10_000))
        capture.release(capture.written)
    assert capture.written > 2 * capture.size
    capture.close()


def test_a_reader_that_comes_back_begins_where_it_wants(capture: Capture) -> None:
    frames = [frame(b"%d" % number) for number in range(9)]
    assert all(map(capture.put, frames))
    first, after = capture.take(capture.read_to, 2 * len(frames[0]))
    assert first == frames[:2]
    assert capture.take(capture.read_to, sum(map(len, first))) == (first, after)
    assert capture.take(after, 1 << 20)[0] == frames[2:]


def test_what_is_no_frame_in_the_buffer_is_said_to_be_none(capture: Capture) -> None:
    capture.put(frame())
    capture._data[:4] = b"\xff\xff\xff\x7f"
    with pytest.raises(ValueError, match="no frame"):
        capture.take(0, 1)


def test_planes_that_run_apart_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "capture"
    writer = Capture.at(path, SIZE)
    reader = Capture.found(path)
    writer.put(frame())
    assert reader.take(0, 1)[0] == [frame()]
    assert (reader.id, reader.size) == (writer.id, SIZE)
    assert path.stat().st_mode & 0o777 == 0o600
    writer.close()
    again = Capture.at(path, SIZE)  # a proxy that was restarted goes on
    assert again.id == reader.id
    assert again.written == reader.written
    again.close()
    assert not reader.was_replaced()
    other = Capture.at(path, 2 * SIZE)
    assert reader.was_replaced()
    assert reader.take(0, 1)[0] == [frame()]  # which is not cut off
    assert other.id != reader.id
    other.close()
    reader.close()


def test_one_proxy_at_a_time_writes_to_a_file(tmp_path: Path) -> None:
    first = Capture.at(tmp_path / "capture", SIZE)
    with pytest.raises(CaptureError, match="another proxy writes to it"):
        Capture.at(tmp_path / "capture", SIZE)
    first.close()


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_file_that_is_no_buffer(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "capture"
    path.write_bytes(content)
    with pytest.raises(CaptureError):
        Capture.found(path)
    made = Capture.at(path, SIZE)
    assert made.written == 0
    made.close()


def test_a_buffer_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no such file"):
        Capture.found(tmp_path / "none")
    with pytest.raises(CaptureError, match="file exists"):
        Capture.at(Path("/dev/null/capture"), SIZE)


def test_there_must_be_room_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write to memory that can't be had would kill the proxy later."""

    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(CaptureError, match="no buffer of 1048576 bytes: cannot allocate memory"):
        Capture.create(SIZE)

"""Exchanges that are alike decode as each of them alone."""

import json
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_exporter.batch import PREDICTION
from ml_exporter.capture import read_frames, write_frame
from ml_exporter.formats.alike import Likenesses
from ml_exporter.formats.captured import Captured
from ml_exporter.formats.exchange_lines import exchange
from ml_exporter.formats.rows import Layout
from tests.formats.exchanging import layout
from tests.formats.feeding import feature, plain
from tests.formats.protocols.test_golden import GOLDEN

SCALARS = [
    *(None, True, False, 0, 7, -1.5, 1e300, 10**25, 2**53 + 1, float("nan"), float("inf")),
    *("", "a", "1", "<x", "é\n", "\ud800", "\ud83d\ude00", "a/b", "2026-11-29T15:30:53Z"),
]
ODD = [[], {}, [1], [[2, 3]], {"a": 1}, {"b64": "AAA="}, {"b64": None}, [None, {"a": 1}]]


def observed(request: bytes, response: bytes, path: str = "/m", fields: bytes = b"") -> bytes:
    return write_frame(
        *(0, 200, 1.5e9, 0.1, 0.1, 0.0),
        f"POST {path} HTTP/1.1\r\nHost: a\r\n".encode() + fields + b"\r\n",
        request,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
        response,
    )


def instances(*ages: object, path: str = "/m", fields: bytes = b"") -> bytes:
    asked = json.dumps({"instances": [{"age": age, "city": "Ulm"} for age in ages]}).encode()
    return observed(asked, json.dumps({"predictions": [1] * len(ages)}).encode(), path, fields)


class Pair:
    """A decoder that knows what exchanges are like, and one that looks at each alone."""

    def __init__(self, given: Layout, format: str) -> None:
        self.together = Captured(given, format, "X-Model-Version")
        self.alone = Captured(given, format, "X-Model-Version")

    def check(self, *frames: bytes) -> int:
        """Hold both equal; returns how many exchanges were like earlier ones."""
        data = b"".join(frames)
        frames_read = read_frames(data)
        _, others = self.together._known.select(frames_read, self.together._heads(frames_read))
        self.alone._known = Likenesses()
        got, expected = self.together.decode(data, False), self.alone.decode(data, False)
        assert got.rejected == expected.rejected
        assert got.consumed == expected.consumed
        assert (got.batch.rows, got.batch.ids) == (expected.batch.rows, expected.batch.ids)
        assert got.batch.versions == expected.batch.versions
        assert got.batch.traces == expected.batch.traces
        assert got.batch.timestamps is not None
        assert expected.batch.timestamps is not None
        assert repr(got.batch.timestamps.tolist()) == repr(expected.batch.timestamps.tolist())
        for key, column in expected.batch.fields.items():
            assert plain(got.batch.fields[key]) == plain(column), key
        extra = [
            {name: mask.tolist() for name, mask in one.batch.extra.items() if mask.any()}
            for one in (got, expected)
        ]
        assert extra[0] == extra[1]
        return len(frames) - len(others)


def names_of(case: dict) -> list[str]:  # type: ignore[type-arg]
    """The features of a golden exchange, one of them left out, so that it is a surprise."""
    if "features" in case:
        return [*case["features"]]
    found = dict.fromkeys(name for row in case["rows"] for name in row)
    return [name for name in found if name not in ("id", "version", "prediction", "score")][:-1]


CASES = [
    pytest.param(format, names_of(case), case, id=f"{format} {number}")
    for format, cases in sorted(GOLDEN.items())
    for number, case in enumerate(cases)
    if "request" in case["line"] and "response" in case["line"]
]


def varied(value: object, random: Random, odd: bool) -> object:
    """The same with some other values, and where that is wanted a few of another shape."""
    if odd and random.random() < 0.05:
        return random.choice(ODD)
    if isinstance(value, dict):
        return {name: varied(below, random, odd) for name, below in value.items()}
    if isinstance(value, list):
        return [varied(below, random, odd) for below in value]
    return random.choice(SCALARS) if random.random() < 0.4 else value


def body(content: bytes, random: Random) -> bytes:
    """Another body that is like one, or nearly."""
    try:
        value = json.loads(content)
    except ValueError:
        return content
    kind = random.random()
    text = json.dumps(
        varied(value, random, odd=kind < 0.3),
        ensure_ascii=random.random() < 0.5,
        separators=(",", ":") if kind > 0.9 else None,
    ).encode("utf-8", "surrogatepass")
    if 0.3 < kind < 0.4:
        place = random.randrange(len(text) + 1)
        text = text[:place] + random.choice([b"", b"\xff", b"}", b"1", b'"', b" "]) + text[place:]
    return text + random.choice([b"", b"", b" ", b"\r\n", b"\n{}"])


@pytest.mark.parametrize(("format", "names", "case"), CASES)
@settings(max_examples=3)
@given(random=st.randoms(use_true_random=False))
def test_bodies_of_each_protocol(format, names, case, random):
    given = layout(names, **case.get("fields", {}))
    one = exchange(json.dumps(case["line"]).encode())
    assert one.request is not None
    assert one.response is not None
    asked, answered = one.request, one.response

    def frame(is_first: bool) -> bytes:
        fields = b"".join(
            b"%b: %b\r\n" % (name, str(value).encode())
            for name, value in (
                (b"Content-Type", asked.content_type),
                (b"Content-Encoding", asked.content_encoding),
                (b"Inference-Header-Content-Length", asked.json_length),
                (b"X-Request-Id", one.id),
            )
            if value
        )
        bodies = [m.body if is_first else body(m.body, random) for m in (asked, answered)]
        return observed(bodies[0], bodies[1], one.path or "/m", fields)

    both = Pair(given, format if random.random() < 0.7 else "auto")
    both.check(frame(True))
    for _ in range(3):
        both.check(*(frame(False) for _ in range(6)))


@pytest.mark.parametrize(
    ("format", "number", "count"),
    [
        ("kserve-v1", 0, 2),
        ("open-inference", 0, 2),
        ("tensorflow-serving", 0, 2),
        ("mlflow", 0, 2),
        ("seldon", 0, 2),
        ("bentoml", 0, 2),
        ("json", 0, 2),
    ],
)
def test_the_usual_bodies_are_alike(format: str, number: int, count: int) -> None:
    case = GOLDEN[format][number]
    one = exchange(json.dumps(case["line"]).encode())
    assert one.request is not None
    assert one.response is not None
    frame = observed(one.request.body, one.response.body, one.path or "/m")
    both = Pair(layout(names_of(case)), format)
    both.check(frame)
    assert both.check(*[frame] * count) == count


LAYOUT = Layout({PREDICTION: "prediction", feature("age"): "age"}, id="id", version="version")


def test_those_that_differ_are_between_those_that_are_alike() -> None:
    both = Pair(LAYOUT, "kserve-v1")
    fields = b"X-Request-Id: %d\r\n"
    both.check(instances(41, fields=fields % 1))
    frames = [
        instances(7, fields=fields % 2),
        instances(8, 9, fields=fields % 3),
        instances({"years": 4}, fields=fields % 4),
        observed(b"{", b'{"predictions": [1]}'),
        instances(33, fields=fields % 5),
        instances(34),
    ]
    assert both.check(*frames) == 2
    decoded = both.together.decode(b"".join(frames), False)
    assert decoded.batch.ids == ["2", "3/0", "3/1", "4", "5"]
    assert decoded.rejected == Counter(malformed=1, no_id=1)


def test_what_heads_say_makes_a_difference() -> None:
    both = Pair(LAYOUT, "kserve-v1")
    frames = [
        instances(1, fields=b"X-Model-Version: %b\r\nX-Request-Id: a\r\n" % version)
        for version in (b"3", b"4", b"3")
    ]
    for _ in range(3):
        both.check(*frames)
    assert both.check(*frames) == 3
    assert both.together.decode(b"".join(frames), False).batch.versions == ["3", "4", "3"]


def test_rows_of_one_request_have_ids_of_their_own() -> None:
    both = Pair(LAYOUT, "kserve-v1")
    frame = instances(41, 7, fields=b"X-Request-Id: a1\r\n")
    both.check(frame)
    assert both.check(frame, frame) == 2
    ids = both.together.decode(frame + frame, False).batch.ids
    assert ids == ["a1/0", "a1/1"] * 2


def test_as_many_rows_are_alike() -> None:
    both = Pair(Layout({PREDICTION: "prediction", feature("age"): "age"}), "kserve-v1")
    both.check(instances(41, 7))
    assert both.check(instances(1, 2), instances(None, "x"), instances(3)) == 2


def test_a_few_likenesses_are_remembered() -> None:
    both = Pair(LAYOUT, "kserve-v1")
    for rows in range(1, 30):
        both.check(instances(*range(rows), path=f"/{rows}"), instances(*range(rows)))
    of_kinds = both.together._known._of_kinds
    assert len(of_kinds) <= 16
    assert max(map(len, of_kinds.values())) <= 8

import csv
import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.batch import LABEL, PREDICTION
from ml_exporter.columns import ABSENT
from ml_exporter.formats import HeaderError, decoder
from ml_exporter.formats import csv as csv_format
from ml_exporter.formats.rows import LONGEST_ROW, MOST_FEATURES, Layout
from tests.formats.feeding import cut, feature, feed

AGE = feature("age")
LAYOUT = Layout({AGE: "age", PREDICTION: "predicted"}, known=frozenset(["note"]))
HEADER = b"age,predicted,note\n"


def decode(data, layout=LAYOUT, end=True, format="csv"):
    return decoder(format, layout).decode(data, end)


def ages(decoded):
    return list(decoded.batch.fields[AGE].values)


def test_rows():
    decoded = decode(HEADER + b'41,yes,\n,no,"a, b"\n')
    assert decoded.batch.rows == 2
    assert ages(decoded) == ["41", ""]
    assert list(decoded.batch.fields[PREDICTION].values) == ["yes", "no"]
    assert all(column.text for column in decoded.batch.fields.values())
    assert not decoded.batch.extra
    assert not decoded.rejected


def test_tab_separated():
    decoded = decode(b'age\tpredicted\n1\ta,b\n2\t"c\td"\n', format="tsv")
    assert ages(decoded) == ["1", "2"]
    assert list(decoded.batch.fields[PREDICTION].values) == ["a,b", "c\td"]


class TestHeader:
    @pytest.mark.parametrize(
        "data", [b"", b"\n", b" \r\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"  "]
    )
    def test_of_an_empty_file(self, data):
        decoded = decode(data)
        assert (decoded.batch.rows, decoded.consumed) == (0, len(data))
        assert not decoded.rejected

    @pytest.mark.parametrize("data", [HEADER, HEADER[:-1], b"\r\n" + HEADER, HEADER + b"\n\r\n"])
    def test_alone(self, data):
        decoded = decode(data)
        assert (decoded.batch.rows, decoded.consumed) == (0, len(data))
        assert not decoded.rejected

    @pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n\r\n", b"\xef\xbb\xbf\r\n"])
    @pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
    def test_before_rows(self, start, line_end):
        data = start + line_end.join([b"age,predicted,note", b"1,yes,", b'2,"no",', b""])
        assert ages(decode(data)) == ["1", "2"]

    def test_half_written(self):
        assert decode(HEADER[:-1], end=False).consumed == 0

    def test_quoted(self):
        assert ages(decode(b'"age","predicted"\n1,2\n')) == ["1"]

    @pytest.mark.parametrize(
        ("header", "message"),
        [
            (b"age,age,predicted", "column 'age' occurs twice in the header"),
            (b"age,pr\xff", "the header line is not UTF-8"),
            (b'age,"pred', "the header line can't be read: unexpected end of data"),
            (b'age,"pred"x', "the header line can't be read: ',' expected after '\"'"),
        ],
    )
    def test_bad(self, header, message):
        with pytest.raises(HeaderError) as error:
            decode(header + b"\n1,2\n")
        assert str(error.value) == message

    def test_columns_that_nobody_reads_may_occur_twice(self):
        decoded = decode(b"age,x,x,predicted,note,note\n1,2,3,4,5,6\n")
        assert ages(decoded) == ["1"]
        assert list(decoded.batch.extra) == ["x"]

    def test_without_any_of_the_fields(self):
        decoded = decode(b"a,b\n1,2\n3,4\n")
        assert decoded.batch.rows == 0
        assert decoded.rejected == {"no_fields": 2}

    def test_without_some_of_the_fields(self):
        decoded = decode(b"age\n1\n")
        assert list(decoded.batch.fields[PREDICTION].values) == [ABSENT]
        assert decoded.batch.fields[PREDICTION].absent == 1

    def test_is_read_again_where_decoding_starts_further_on(self):
        lines = decoder("csv", LAYOUT)
        lines.resume(HEADER + b"1,2,3\n4,5")
        decoded = lines.decode(b"4,5,6\n", True)
        assert ages(decoded) == ["4"]


class TestExtraFields:
    def test_are_in_every_row(self):
        extra = decode(b"age,zip,x\n1,,\n2,,\n").batch.extra
        assert {name: mask.tolist() for name, mask in extra.items()} == {
            "zip": [True, True],
            "x": [True, True],
        }

    def test_few_have_a_name(self):
        names = [f"c{number}" for number in range(5000)]
        data = ",".join(["age", *names]) + "\n" + ",".join(["1"] * 5001) + "\n"
        assert list(decode(data.encode()).batch.extra) == [*names[:20], "<other>"]

    def test_discovery_has_an_end(self):
        names = ["y", "", *(f"c{number}" for number in range(5000)), ""]
        data = ",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n"
        batch = decode(data.encode(), Layout({LABEL: "y"}, discover=True)).batch
        assert len(batch.fields) == MOST_FEATURES + 1
        assert not batch.extra

    def test_discovery_needs_names_that_differ(self):
        with pytest.raises(HeaderError, match="column 'x' occurs twice"):
            decode(b"y,x,x\n1,2,3\n", Layout({LABEL: "y"}, discover=True))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"1,2", "ragged_row", id="too few fields"),
        pytest.param(b"1,2,3,4", "ragged_row", id="too many fields"),
        pytest.param(b"1", "ragged_row", id="one field"),
        pytest.param(b" ", "ragged_row", id="blank but for a space"),
        pytest.param(b'1,"2"x,3', "malformed", id="text after a quote"),
        pytest.param(b'1,"2,3', "malformed", id="stray quote"),
        pytest.param(b'"', "malformed", id="only a quote"),
        pytest.param(b"1,a\rb,3", "malformed", id="carriage return"),
        pytest.param(b"1,\xff,3", "encoding", id="not UTF-8"),
        pytest.param(b'1,"\xff\n",3', "encoding", id="not UTF-8, quoted"),
        pytest.param(b"1," + b"x" * LONGEST_ROW + b",3", "too_large", id="too large"),
    ],
)
def test_a_bad_line_is_counted_and_stops_no_good_one(line, reason):
    decoded = decode(HEADER + b"1,yes,\n" + line + b"\n2,no,\n")
    assert decoded.rejected[reason] == 1
    assert ages(decoded) == ["1", "2"]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b"1,2,3", ["1", "2"]),
        (b'1,"a\nb\n\nc",3', ["1", "a\nb\n\nc"]),
        (b'1,"a\r\nb",3', ["1", "a\r\nb"]),
        (b'1,"say ""yes""",3', ["1", 'say "yes"']),
        (b'1,5" wide,3', ["1", '5" wide']),
        (b"1, a ,3", ["1", " a "]),
        (b"1,\x00,3", ["1", "\x00"]),
        (b'"","",""', ["", ""]),
        (b",,", ["", ""]),
        ("1,a\u2028b\u0085\x0bc,3".encode(), ["1", "a\u2028b\u0085\x0bc"]),
        (b"9" * 5000 + b",nan,", ["9" * 5000, "nan"]),
    ],
    ids=lambda value: repr(value)[:25],
)
def test_fields(line, fields):
    for data in (line, line + b"\n", line + b"\r\n", line + b"\n?\n", b'7,"8",9\n' + line):
        decoded = decode(HEADER + data)
        row = -1 if data.startswith(b"7") else 0
        assert [column.values[row] for column in decoded.batch.fields.values()] == fields


def test_one_column():
    decoded = decode(b"age\n1\n\n2\n", Layout({AGE: "age"}))
    assert ages(decoded) == ["1", "2"]
    assert ages(decode(b'age\n1\n""\n2\n', Layout({AGE: "age"}))) == ["1", "", "2"]


class TestEndOfTheFile:
    def test_half_a_line_is_left_for_later(self):
        decoded = decode(HEADER + b"1,yes,\n2,n", end=False)
        assert ages(decoded) == ["1"]
        assert decoded.consumed == len(HEADER) + 7
        assert not decoded.rejected

    @pytest.mark.parametrize("rest", [b"2,n", b'2,"no', b"2,\xc3", b'2,"a"b'])
    def test_half_a_line_at_the_end_is_truncated(self, rest):
        decoded = decode(HEADER + b"1,yes,\n" + rest)
        assert ages(decoded) == ["1"]
        assert decoded.rejected == {"truncated": 1}

    def test_half_a_quoted_field_is_left_for_later(self):
        decoded = decode(HEADER + b'1,yes,\n2,"no\n', end=False)
        assert decoded.consumed == len(HEADER) + 7
        assert not decoded.rejected

    def test_a_stray_quote_holds_up_only_so_many_lines(self):
        decoded = decode(HEADER + b'1,"yes,\n' + b"2,no,\n" * 1000, end=False)
        assert decoded.rejected == {"malformed": 1}
        assert decoded.batch.rows == 1000

    def test_a_stray_quote_holds_up_only_so_many_bytes(self):
        line = b"2," + b"x" * 100_000 + b",\n"
        decoded = decode(HEADER + b'1,"yes,\n' + line * 11, end=False)
        assert decoded.rejected == {"malformed": 1}
        assert decoded.batch.rows == 11

    def test_unfinished_bytes_count_too(self):
        """Of twice the longest row with a line end in it, something is always consumed."""
        data = HEADER + b'1,"a\n'
        data += b"x" * (2 * LONGEST_ROW - len(data))
        lines = decoder("csv", LAYOUT)
        lines.resume(HEADER)
        decoded = lines.decode(data[len(HEADER) :], False)
        assert decoded.consumed == 5
        assert decoded.rejected == {"malformed": 1}


def test_lines_that_stay_within_quotes_are_read_only_so_often():
    """Each would be the beginning of a record that never ends."""
    decoded = decode(HEADER + b'x",",\n' * 3000)
    assert decoded.batch.rows == 0
    assert decoded.rejected == {"malformed": 3000}
    decoded = decode(HEADER + b'"\n' + b'""\n' * 100_000)
    assert decoded.rejected == {"malformed": 1, "ragged_row": 100_000}


class TestAgainstTheStandardLibrary:
    texts = st.text(st.sampled_from('ab1,"\n\té '), max_size=6)

    @given(st.lists(st.tuples(texts, texts, texts), max_size=10), st.sampled_from(["\n", "\r\n"]))
    def test_what_it_writes_is_read(self, rows, line_end):
        written = io.StringIO()
        writer = csv.writer(written, lineterminator=line_end)
        writer.writerows([("age", "predicted", "note"), *rows])
        decoded = decode(written.getvalue().encode())
        assert not decoded.rejected
        fields = decoded.batch.fields.values()
        assert list(zip(*(column.values for column in fields), strict=True)) == [
            (age, predicted) for age, predicted, _ in rows
        ]


class TestSplitting:
    layout = Layout({AGE: "age", feature("missing"): "missing"}, id="id", timestamp="ts")
    logs = st.builds(
        lambda start, lines, line_end, last: start + line_end.join(lines) + last,
        st.sampled_from([b"", b"\n", b"\xef\xbb\xbf"]),
        st.lists(
            st.sampled_from(
                [
                    *(b"a,1,2,x", b"b,2,,", b"c.0,,5,", b",1,1,", b"e,1,bad,", b"", b'"a",1,2,x'),
                    *(b'"a",1,"2\n', b'3",4', b'"', b'""', b'x",","', b'a,1,2,"x', b'y",1,2,x'),
                    *(b"1,2", b"1,2,3,4,5", b"\xff,1,2,3", b'a,1,2,"\xff', b"a,1,2,\rx", b"\r"),
                    *(b"a,1,2," + b"x" * 60, b'a,1,2,"x' + b"y" * 20, b"x" * 20 + b'"', b'"a"b,1'),
                ]
            ),
            max_size=14,
        ).map(lambda lines: [b"id,age,ts,extra", *lines]),
        st.sampled_from([b"\n", b"\r\n"]),
        st.sampled_from([b"", b"\n", b"\na,1,", b'\na,1,2,"x', b"\na,1,2,\xc3"]),
    )

    @given(logs, st.lists(st.integers(0, 300), max_size=6))
    def test_anywhere_makes_no_difference(self, log, places):
        whole = feed(decoder("csv", self.layout), [log])
        assert feed(decoder("csv", self.layout), cut(log, places)) == whole

    @given(logs, st.lists(st.integers(0, 300), max_size=6), st.integers(1, 4))
    def test_nor_does_it_where_records_are_too_long(self, log, places, most_lines):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(csv_format, "LONGEST_ROW", 50)
            patch.setattr(csv_format, "_LONGEST_RECORD", 51)
            patch.setattr(csv_format, "_MOST_LINES", most_lines)
            whole = feed(decoder("csv", self.layout), [log])
            assert feed(decoder("csv", self.layout), cut(log, places)) == whole

    @given(logs)
    def test_every_line_is_a_row_or_counted(self, log):
        rows, rejected = feed(decoder("csv", self.layout), [log])
        lines = [line for line in log.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
        assert len(rows) + rejected.total() <= len(lines) - 1
        if b'"' not in log:
            assert len(rows) + rejected.total() == len(lines) - 1


def test_reasons_are_counters():
    assert isinstance(decode(b"").rejected, Counter)


class TestWithoutHeader:
    LAYOUT = Layout(
        {AGE: "age", PREDICTION: "predicted"}, columns=("note", "predicted", "age", "new")
    )

    def test_columns_are_named_beforehand(self):
        decoded = decode(b"x,yes,41,\ny,no,,7\n", self.LAYOUT)
        assert ages(decoded) == ["41", ""]
        assert list(decoded.batch.fields[PREDICTION].values) == ["yes", "no"]
        assert decoded.batch.extra.keys() == {"note", "new"}

    def test_the_first_line_is_a_row(self):
        assert decode(b"note,predicted,age,new\n", self.LAYOUT).batch.rows == 1

    def test_a_row_of_another_width_is_ragged(self):
        decoded = decode(b"x,yes,41\ny,no,42,7\n", self.LAYOUT)
        assert (ages(decoded), decoded.rejected) == (["42"], {"ragged_row": 1})

    @pytest.mark.parametrize("stop", range(1, 24))
    def test_cut_anywhere_and_resumed(self, stop):
        log = b'x,yes,41,\n"a\nb",no,42,7\n'
        one = decoder("csv", self.LAYOUT)
        first = one.decode(log[:stop], False)
        two = decoder("csv", self.LAYOUT)
        two.resume(log)
        rest = two.decode(log[first.consumed :], True)
        assert ages(first) + ages(rest) == ["41", "42"]

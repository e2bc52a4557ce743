"""What is counted in C is what NumPy counts, within the bounds of its arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ml_exporter.statistics import _counting, numpy_counting
from tests.sanitizers import run_sanitized
from tests.support import ROOT

BOTH = (_counting, numpy_counting)
SOURCE = ROOT / "exporter/ml_exporter/statistics/_counting.c"

floats = st.one_of(st.floats(), st.sampled_from([-1.0, -0.0, 0.0, 1.0, 5e-324]))
edges_of_any = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=254).map(sorted)


def zeros(*shape, type="q"):
    return np.zeros(shape, dtype=type)


@given(arrays.arrays(np.float64, st.integers(0, 40), elements=floats), edges_of_any)
def test_a_code_says_how_many_edges_a_value_is_above(values, edges) -> None:
    expected = [
        len(edges) + 1 if np.isnan(value) else sum(value > edge for edge in edges)
        for value in values
    ]
    for counting in BOTH:
        codes, counts = zeros(values.size, type="B"), zeros(len(edges) + 2)
        counting.bin_codes(values, np.array(edges), codes, counts)
        assert codes.tolist() == expected
        assert counts.tolist() == [expected.count(code) for code in range(len(edges) + 2)]


@given(
    arrays.arrays(np.float64, st.integers(0, 40), elements=floats),
    st.data(),
    st.integers(0, 20),
)
def test_floats_are_nan_where_a_bit_is_0(numbers, data, offset) -> None:
    bits = data.draw(arrays.arrays(np.bool_, offset + numbers.size))
    values = np.empty(numbers.size)
    packed = np.packbits(bits, bitorder="little")
    if not packed.size:
        return
    present = np.where(bits[offset:], numbers, np.nan)
    for counting in BOTH:
        assert counting.floats(numbers, False, packed, offset, values) == np.isfinite(present).sum()
        assert np.array_equal(values, present, equal_nan=True)
        assert counting.floats(numbers, False, b"", offset, values) == np.isfinite(numbers).sum()
        assert np.array_equal(values, numbers, equal_nan=True)


@given(arrays.arrays(np.int64, st.integers(0, 40)))
def test_floats_of_whole_numbers(numbers) -> None:
    for counting in BOTH:
        values = np.empty(numbers.size)
        assert counting.floats(numbers, True, b"", 0, values) == numbers.size
        assert np.array_equal(values, numbers.astype(np.float64))


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60, unique=True).map(sorted),
    arrays.arrays(np.float64, st.integers(0, 40), elements=st.floats(-2e9, 2e9)),
    st.integers(0, 99),
)
def test_values_are_interpolated_on_the_line_that_they_are_on(starts, values, seed) -> None:
    heights, slopes = np.random.default_rng(seed).normal(size=(2, len(starts)))
    values = np.concatenate([values, starts, [np.nan, np.inf, -np.inf]])
    results, expected = np.empty((2, values.size))
    _counting.interpolate(values, np.array(starts), heights, slopes, results)
    numpy_counting.interpolate(values, np.array(starts), heights, slopes, expected)
    assert np.array_equal(results, expected, equal_nan=True)
    places = [values.tolist().index(start) for start in starts]
    assert np.array_equal(results[places], heights)


@given(st.lists(st.integers(0, 30)))
def test_codes_are_counted(codes) -> None:
    for counting in BOTH:
        counts = np.ones(31, dtype=np.int64)
        counting.count_codes(np.array(codes, dtype=np.int32), counts)
        assert counts.tolist() == [1 + codes.count(code) for code in range(31)]


@given(st.lists(st.integers(0, 299)))
def test_what_a_table_has_for_codes_is_looked_up_and_counted(codes) -> None:
    table = np.random.default_rng(1).integers(0, 31, 300, dtype=np.uint8)
    expected = table[codes].tolist()
    for counting in BOTH:
        results, counts = zeros(len(codes), type="B"), zeros(31) + 1
        counting.look_up(np.array(codes, dtype=np.int32), table, results, counts)
        assert results.tolist() == expected
        assert counts.tolist() == [1 + expected.count(result) for result in range(31)]


@pytest.mark.parametrize(("type", "distinct"), [("B", 256), ("i", 300)])
@given(st.data())
def test_bits_are_left_that_the_table_has(type, distinct, data) -> None:
    codes = data.draw(st.lists(st.integers(0, distinct - 1)))
    random = np.random.default_rng(1)
    table = random.integers(0, 1 << 63, distinct, dtype=np.uint64)
    before = random.integers(0, 1 << 63, len(codes), dtype=np.uint64)
    for counting in BOTH:
        left = before.copy()
        counting.leave(np.array(codes, dtype=type), table, left)
        assert left.tolist() == [
            bits & table[code] for bits, code in zip(before, codes, strict=True)
        ]


def look_up(codes=0, table=0, results=0) -> None:
    """Look up two codes among two, of which the results have three counts; or so many more."""
    _counting.look_up(
        np.array([0, codes], dtype=np.int32),
        np.array([0, table], dtype=np.uint8),
        zeros(2 + results, type="B"),
        zeros(3),
    )


def case(seed, fields, rows, vectors, largest=3000.0):
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 20, fields)
    types = random.choice(["B", "I"], fields)
    codes = [
        random.integers(0, size, rows).astype(type) for size, type in zip(sizes, types, strict=True)
    ]
    tables = [random.normal(0, largest, (size, 8 * vectors)) for size in sizes]
    return codes, sizes, tables


CASES = [
    *((fields, rows, 3, 3000.0) for fields in (1, 2, 25) for rows in (0, 1, 63, 64, 65, 1000)),
    *((7, 200, vectors, 3000.0) for vectors in (1, 2, 4, 5, 6, 7)),
    (3, 500, 3, 1e7),
    (3, 500, 3, 1e12),
]


@pytest.mark.parametrize(("fields", "rows", "vectors", "largest"), CASES)
def test_components_are_sums_of_what_tables_say(fields, rows, vectors, largest) -> None:
    codes, sizes, tables = case(1, fields, rows, vectors, largest)
    values, expected = zeros(2, 8 * vectors + 1, rows, type="i")
    _counting.project(tuple(codes), sizes, np.concatenate(tables), values)
    numpy_counting.project(tuple(codes), sizes, np.concatenate(tables), expected)
    assert np.array_equal(values, expected)
    if rows and largest < 1e7:
        sums = sum(table[code[-1]] for code, table in zip(codes, tables, strict=True))
        assert np.array_equal(values[:-1, -1], sums.round())
        assert values[-1, -1] == round(np.hypot.reduce(sums.round()))


@pytest.mark.parametrize(("fields", "rows", "vectors", "largest"), CASES)
def test_counts_are_of_what_is_above_thresholds(fields, rows, vectors, largest) -> None:
    codes, sizes, tables = case(2, fields, rows, vectors, largest)
    thresholds = np.random.default_rng(3).normal(0, largest, (11, 8 * vectors + 1))
    thresholds = np.clip(thresholds, -2e9, 2e9).astype(np.int32)
    values = zeros(8 * vectors + 1, rows, type="i")
    numpy_counting.project(tuple(codes), sizes, np.concatenate(tables), values)
    for counting in BOTH:
        above = zeros(*thresholds.shape)
        counting.count_projected(tuple(codes), sizes, np.concatenate(tables), thresholds, above)
        assert np.array_equal(above, (values > thresholds[:, :, None]).sum(axis=2))


def test_halves_are_rounded_to_what_is_even() -> None:
    tables = np.repeat([[0.5], [1.5], [2.5], [-0.5], [-1.5]], 8, axis=1)
    for counting in BOTH:
        values = zeros(9, 5, type="i")
        counting.project((np.arange(5, dtype=np.uint8),), np.array([5]), tables, values)
        assert values[0].tolist() == [0, 2, 2, 0, -2]


CODES, SIZES, TABLES = (zeros(3, type="B"),), np.array([2]), zeros(2, 8, type="d")


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: _counting.bin_codes(zeros(2), zeros(1), zeros(1, type="B"), zeros(3)), "byte"),
        (lambda: _counting.bin_codes(zeros(1), zeros(1), zeros(1, type="B"), zeros(2)), "two more"),
        (
            lambda: _counting.bin_codes(zeros(1), zeros(255), zeros(1, type="B"), zeros(257)),
            "two more",
        ),
        (lambda: _counting.floats(zeros(3), False, b"", 0, zeros(2)), "a number, a bit"),
        (lambda: _counting.floats(zeros(3), False, b"1", 6, zeros(3)), "a number, a bit"),
        (lambda: _counting.floats(zeros(3), False, b"1", -1, zeros(3)), "a number, a bit"),
        (lambda: _counting.interpolate(zeros(1), *[zeros(0)] * 3, zeros(1)), "a height"),
        (lambda: _counting.interpolate(zeros(1), zeros(2), zeros(2), *[zeros(1)] * 2), "a height"),
        (lambda: _counting.interpolate(zeros(1), *[zeros(2)] * 3, zeros(2)), "a height"),
        (lambda: _counting.count_codes(zeros(2, type="i") + 2, zeros(2)), "no count"),
        (lambda: _counting.count_codes(zeros(2, type="i") - 1, zeros(2)), "no count"),
        (lambda: look_up(codes=2), "be in the table"),
        (lambda: look_up(codes=-1), "be in the table"),
        (lambda: look_up(table=3), "have a count"),
        (lambda: look_up(results=1), "have a count"),
        (lambda: _counting.leave(zeros(2, type="B"), zeros(1), zeros(1)), "a code for each"),
        (lambda: _counting.leave(zeros(1, type="B"), zeros(257), zeros(1)), "a code for each"),
        (lambda: _counting.leave(zeros(1, type="i") + 2, zeros(2), zeros(1)), "a code for each"),
        (lambda: _counting.leave(zeros(1, type="i") - 1, zeros(2), zeros(1)), "a code for each"),
        (lambda: _counting.project((), zeros(0), TABLES, zeros(9, 3, type="i")), "each of"),
        (lambda: _counting.project(CODES, np.array([1, 1]), TABLES, zeros(27, type="i")), "each"),
        (
            lambda: _counting.project((zeros(3),), SIZES, TABLES, zeros(9, 3, type="i")),
            "one or four",
        ),
        (
            lambda: _counting.project(
                (*CODES, zeros(2, type="B")), np.array([1, 1]), TABLES, zeros(27, type="i")
            ),
            "as many rows",
        ),
        (lambda: _counting.project(CODES, np.array([3]), TABLES, zeros(27, type="i")), "whole"),
        (lambda: _counting.project(CODES, np.array([-1]), TABLES, zeros(27, type="i")), "whole"),
        (lambda: _counting.project(CODES, np.array([0]), TABLES, zeros(27, type="i")), "whole"),
        (lambda: _counting.project(CODES, SIZES, zeros(2, 7), zeros(27, type="i")), "whole"),
        (lambda: _counting.project(CODES, SIZES, TABLES, zeros(26, type="i")), "component and"),
        (
            lambda: _counting.project((CODES[0] + 2,), SIZES, TABLES, zeros(27, type="i")),
            "in no table",
        ),
        (
            lambda: _counting.count_projected(
                (CODES[0] + 2,), SIZES, TABLES, zeros(1, 9, type="i"), zeros(1, 9)
            ),
            "in no table",
        ),
        (
            lambda: _counting.count_projected(CODES, SIZES, TABLES, zeros(8, type="i"), zeros(8)),
            "each component",
        ),
        (
            lambda: _counting.count_projected(
                CODES, SIZES, TABLES, zeros(1, 9, type="i"), zeros(2, 9)
            ),
            "each component",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call, problem) -> None:
    with pytest.raises(ValueError, match=problem):
        call()


BOUNDS = """
import random
import numpy as np
import _counting

random.seed(1)
for _ in range(3000):
    rows, fields = random.randrange(150), random.randrange(1, 9)
    count = random.randrange(255)
    values, edges = np.random.normal(size=rows), np.sort(np.random.normal(size=count))
    _counting.bin_codes(values, edges, np.zeros(rows, 'B'), np.zeros(count + 2, 'q'))
    bits = np.random.randint(0, 256, random.randrange(1, 20), 'B')
    skipped = random.randrange(bits.size * 8)
    size = random.randrange(bits.size * 8 - skipped + 1)
    _counting.floats(np.zeros(size), False, bits, skipped, np.zeros(size))
    lines = np.sort(np.random.normal(size=count + 1))
    _counting.interpolate(values, lines, lines, lines, np.zeros(rows))
    places = np.random.randint(0, 9, rows).astype('i')
    _counting.look_up(places, np.zeros(9, 'B'), np.zeros(rows, 'B'), np.zeros(1, 'q'))
    _counting.leave(np.random.randint(0, 256, rows, 'B'), np.zeros(9, 'Q'), np.zeros(rows, 'Q'))
    _counting.leave(places, np.zeros(9, 'Q'), np.zeros(rows, 'Q'))
    width = 8 * random.randrange(1, 6)
    sizes = np.random.randint(1, 20, fields)
    codes = tuple(np.random.randint(0, size, rows).astype(random.choice('BI')) for size in sizes)
    tables = np.random.normal(0, 1e7, (sizes.sum(), width))
    _counting.project(codes, sizes, tables, np.zeros((width + 1, rows), 'i'))
    edges = random.randrange(12)
    thresholds = np.zeros((edges, width + 1), 'i')
    _counting.count_projected(codes, sizes, tables, thresholds, np.zeros(thresholds.shape, 'q'))
    beyond = tuple(of_field + random.choice([0, 0, 1, 200]) for of_field in codes)
    try:
        above = np.zeros(thresholds.shape, 'q')
        _counting.count_projected(beyond, sizes, tables, thresholds, above)
    except ValueError:
        pass
print('done')
"""


def test_nothing_makes_it_leave_its_bounds(tmp_path) -> None:
    run_sanitized(SOURCE, BOUNDS, tmp_path)

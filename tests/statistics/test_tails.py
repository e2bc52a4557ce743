import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from ml_exporter.statistics.tails import beta_median, chi_squared_isf


@given(st.floats(1e-300, 0.3), st.integers(1, 1000))
def test_chi_squared_is_scipys(alpha, freedom):
    assert chi_squared_isf(alpha, freedom) == pytest.approx(
        special.chdtri(freedom, alpha), rel=1e-11
    )


@given(st.floats(1e-300, 0.1))
def test_its_root_is_the_normals(alpha):
    assert math.sqrt(chi_squared_isf(alpha, 1)) == pytest.approx(
        -special.ndtri(alpha / 2), rel=1e-12
    )


def test_nothing_exceeds_infinity():
    assert chi_squared_isf(0.0, 3) == math.inf


@given(st.integers(1, 100), st.integers(1, 10_000))
def test_the_median_of_a_beta_distribution_is_scipys(a, b):
    assert beta_median(a, b) == pytest.approx(special.betaincinv(a, b, 0.5), rel=1e-10)

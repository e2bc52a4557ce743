import numpy as np
import pytest
from scipy import special

from ml_exporter.statistics.entropy import entr, rel_entr

COUNTS = np.array([[0.0, 1.0, 250.0], [3.5, 1e9, 1e-9]])


@pytest.mark.parametrize("other", [COUNTS[::-1] + 1, COUNTS, COUNTS * 1.001, 2.0 * COUNTS + 7])
def test_terms_are_scipys(other: np.ndarray) -> None:
    assert rel_entr(COUNTS, other) == pytest.approx(special.rel_entr(COUNTS, other), rel=1e-12)
    assert entr(COUNTS / 250) == pytest.approx(special.entr(COUNTS / 250), rel=1e-12)


def test_a_bin_without_rows_on_either_side_says_nothing() -> None:
    assert rel_entr(np.zeros(2), np.array([0.0, 3.0])).tolist() == [0.0, 0.0]

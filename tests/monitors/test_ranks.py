import math

import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ndcg_score, top_k_accuracy_score
from sklearn.model_selection import train_test_split

from ml_exporter.batch import LABEL, Batch, Field
from ml_exporter.columns import ABSENT, Column
from ml_exporter.monitors.ranks import ListRanks, ScoreRanks

ITEMS = tuple(Field("ranked", str(number)) for number in range(1, 4))


def sums(monitor):
    """Name and k -> value."""
    return {
        (family.name, *labels[2:]): value
        for family in monitor.families
        for labels, value in zip(family.label_sets, family.values.tolist(), strict=True)
    }


def of_classes(scores, label):
    columns = {Field("score", name): Column(values) for name, values in scores.items()}
    return Batch(len(label), columns | {LABEL: Column(label)})


def recommended(lists, label):
    columns = zip(*lists, strict=True)
    fields = {key: Column(list(column)) for key, column in zip(ITEMS, columns, strict=False)}
    return Batch(len(label), fields | {LABEL: Column(label)})


class TestScoreRanks:
    def test_figures_are_scikit_learns(self):
        data = load_digits()
        x, x_test, y, truth = train_test_split(data.data, data.target, random_state=0)
        scores = LogisticRegression(C=1e-5).fit(x, y).predict_proba(x_test)
        classes = [str(name) for name in range(10)]
        monitor = ScoreRanks("m", "1", classes)
        batch = of_classes(dict(zip(classes, scores.T.tolist(), strict=True)), truth.tolist())
        monitor.update(batch.slice(0, 100))
        monitor.update(batch.slice(100, truth.size))
        found = sums(monitor)
        assert found["ml_ranked_predictions_total",] == truth.size
        relevance = truth[:, None] == range(10)
        for k in (1, 2, 3, 5):
            hits = found["ml_top_k_hits_total", str(k)] / truth.size
            assert hits == pytest.approx(top_k_accuracy_score(truth, scores, k=k), rel=1e-12)
            gain = found["ml_discounted_gain_total", str(k)] / truth.size
            assert gain == pytest.approx(ndcg_score(relevance, scores, k=k), rel=1e-12)
        assert ("ml_top_k_hits_total", "10") not in found  # of ten classes, it would be 1

    def test_the_class_named_last_wins_a_tie(self):
        monitor = ScoreRanks("m", "1", ("a", "b", "c"))
        monitor.update(of_classes({"a": [0.3], "b": [0.3], "c": [0.4]}, ["a"]))
        assert sums(monitor)["ml_reciprocal_rank_total",] == 1 / 3
        assert sums(monitor)["ml_reciprocal_rank_squared_total",] == 1 / 9

    @pytest.mark.parametrize(
        ("score", "label"),
        [(math.nan, "a"), (None, "a"), ("x", "a"), (0.5, "other"), (0.5, None), (0.5, math.nan)],
    )
    def test_rows_that_cannot_be_ranked_are_left_out(self, score, label):
        monitor = ScoreRanks("m", "1", ("a", "b"))
        monitor.update(of_classes({"a": [score, 0.9], "b": [0.5, 0.1]}, [label, "a"]))
        assert sums(monitor) == {
            ("ml_ranked_predictions_total",): 1,
            ("ml_top_k_hits_total", "1"): 1,
            ("ml_reciprocal_rank_total",): 1,
            ("ml_reciprocal_rank_squared_total",): 1,
            ("ml_discounted_gain_total", "1"): 1,
        }

    def test_nothing_is_ranked_without_the_scores_of_all_classes(self):
        monitor = ScoreRanks("m", "1", ("a", "b"))
        monitor.update(of_classes({"a": [0.9]}, ["a"]))
        monitor.update(Batch(1, {LABEL: Column(["a"])}))
        assert set(sums(monitor).values()) == {0}


class TestListRanks:
    @pytest.mark.parametrize(
        ("items", "label", "rank"),
        [
            (["x", "y", "z"], "x", 1),
            (["x", "y", "z"], "z", 3),
            (["x", "y", "z"], "w", math.inf),
            (["x", "y", "x"], "x", 1),  # its better place
            ([None, "y", ABSENT], "y", 2),
            ([7, 8.0, "9"], "8", 2),  # however they are written
            ([{}, math.nan, "z"], "z", 3),
        ],
    )
    def test_the_rank_of_the_relevant_item(self, items, label, rank):
        monitor = ListRanks("m", "1", ITEMS)
        monitor.update(recommended([items], [label]))
        gain = 1 / math.log2(1 + rank)
        assert sums(monitor) == pytest.approx(
            {
                ("ml_ranked_predictions_total",): 1,
                ("ml_top_k_hits_total", "1"): int(rank <= 1),
                ("ml_top_k_hits_total", "2"): int(rank <= 2),
                ("ml_top_k_hits_total", "3"): int(rank <= 3),
                ("ml_reciprocal_rank_total",): 1 / rank,
                ("ml_reciprocal_rank_squared_total",): 1 / rank**2,
                ("ml_discounted_gain_total", "1"): gain * (rank <= 1),
                ("ml_discounted_gain_total", "2"): gain * (rank <= 2),
                ("ml_discounted_gain_total", "3"): gain * (rank <= 3),
            }
        )

    @pytest.mark.parametrize(
        ("items", "label"),
        [([None, ABSENT, ""], "x"), (["x", "y", "z"], None), (["x", "y", "z"], math.nan)],
    )
    def test_rows_without_items_or_label_are_left_out(self, items, label):
        monitor = ListRanks("m", "1", ITEMS)
        monitor.update(recommended([items, ["x", "y", "z"]], [label, "y"]))
        assert sums(monitor)["ml_ranked_predictions_total",] == 1
        assert sums(monitor)["ml_reciprocal_rank_total",] == 0.5

    def test_old_predictions_without_a_list_count_nothing(self):
        monitor = ListRanks("m", "1", ITEMS)
        monitor.update(Batch(1, {LABEL: Column(["x"])}))
        assert set(sums(monitor).values()) == {0}

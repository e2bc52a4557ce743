"""The figures of a model's performance by name, and which way is better."""

HIGHER_IS_BETTER = (
    *("accuracy", "precision", "recall", "specificity", "f1", "balanced_accuracy"),
    *("matthews_correlation", "negative_predictive_value"),
    *("precision_weighted", "recall_weighted", "f1_weighted"),
    *("roc_auc", "gini", "average_precision", "mean_reciprocal_rank"),
    *("r2", "explained_variance"),
)
LOWER_IS_BETTER = (
    *("false_positive_rate", "false_negative_rate"),
    *("log_loss", "brier_score", "expected_calibration_error"),
    *("mean_absolute_error", "root_mean_squared_error", "mean_absolute_percentage_error"),
    *("median_absolute_error", "p90_absolute_error"),
)
JUDGED = (*HIGHER_IS_BETTER, *LOWER_IS_BETTER)
"""What can have a threshold: a model is the worse for it, beyond it."""

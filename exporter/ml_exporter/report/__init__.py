"""What logs hold against their baselines, judged once as the alerts would."""

from collections.abc import Callable, Mapping

from ml_exporter.report.document import write as write_json
from ml_exporter.report.html import write as write_html
from ml_exporter.report.judging import ModelReport, Report, judge_logs
from ml_exporter.report.sagemaker import write as write_sagemaker
from ml_exporter.report.text import write as write_text

FORMATS: Mapping[str, Callable[[Report], str]] = {
    "text": write_text,
    "json": write_json,
    "html": write_html,
    "sagemaker": write_sagemaker,
}

__all__ = ["FORMATS", "ModelReport", "Report", "judge_logs"]

"""SageMaker Model Monitor's statistics.json and constraints.json, read as a baseline and written.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-statistics.html and
model-monitor-byoc-constraints.html
"""

from __future__ import annotations

from ml_exporter.baseline.sagemaker.files import CONSTRAINTS, STATISTICS
from ml_exporter.baseline.sagemaker.monitoring import Monitoring, decode_monitoring
from ml_exporter.baseline.sagemaker.reading import decode, load, roles
from ml_exporter.baseline.sagemaker.writing import describe

__all__ = [
    "CONSTRAINTS",
    "STATISTICS",
    "Monitoring",
    "decode",
    "decode_monitoring",
    "describe",
    "load",
    "roles",
]

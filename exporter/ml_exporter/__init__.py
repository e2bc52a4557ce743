"""ML Exporter: performance, drift and integrity of models in production, for Prometheus."""

__version__ = "0.1.0"

"""ML Exporter: performance, drift and integrity of models in production, for Prometheus."""

from importlib.metadata import version

__version__ = version("ml-exporter")

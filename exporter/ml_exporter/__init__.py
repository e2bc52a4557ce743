"""ML Exporter: performance, drift and integrity of models in production, for Prometheus."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_exporter.client import Monitor

__all__ = ["Monitor", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Monitor":  # of no use to the exporter itself
        from ml_exporter.client import Monitor

        return Monitor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

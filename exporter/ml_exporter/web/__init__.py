"""The telemetry plane: metrics, health and the status page over HTTP."""

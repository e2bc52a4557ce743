"""The process: telemetry's loop, and who supervises it."""

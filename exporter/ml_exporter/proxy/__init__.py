"""The data plane: a reverse proxy for one model server, that learns from a copy."""

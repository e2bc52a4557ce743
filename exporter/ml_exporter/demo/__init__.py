"""The demonstration: a real model whose traffic drifts while one watches."""

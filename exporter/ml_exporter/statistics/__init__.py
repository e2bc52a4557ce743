"""Plain numerics: arrays in, numbers out."""

"""One model, from source to commit."""

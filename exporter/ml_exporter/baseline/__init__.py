"""What the model looked like at training time."""

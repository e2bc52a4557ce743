"""Counts, baseline and thresholds to verdicts, by the twins of the rules."""

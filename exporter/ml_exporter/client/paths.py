"""Where a line of the client has what is no feature: under names that no feature has."""

PREDICTION = "@prediction"
SCORE = "@score"
ID = "@id"
TIME = "@time"
LABEL = "@label"
VERSION = "@version"

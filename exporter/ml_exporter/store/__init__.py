"""What is remembered, in one SQLite transaction."""

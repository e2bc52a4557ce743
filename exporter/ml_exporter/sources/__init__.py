"""Where bytes come from, with their positions."""

"""A field of a request replaced by another's, and what that changes."""

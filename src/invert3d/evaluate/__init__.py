"""Numbers: whether what was made means anything."""

"""Measure whether what was made means anything."""

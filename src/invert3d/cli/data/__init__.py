"""Data sets: make them, find them, check them."""

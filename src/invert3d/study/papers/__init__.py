"""One file a paper: its figures and tables."""

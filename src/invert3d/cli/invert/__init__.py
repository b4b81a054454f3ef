"""Ask a frozen model for the input it would recognize."""

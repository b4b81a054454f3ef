"""Where the input may be after a step."""

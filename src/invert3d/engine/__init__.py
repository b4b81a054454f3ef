"""The derivative of a frozen model with respect to its input: one loop, and its zero-step twin."""

"""Pure functions on tensors. Each has a gradient check and an independent oracle in the tests."""

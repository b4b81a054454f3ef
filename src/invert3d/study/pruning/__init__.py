"""How much of a network is needed."""

"""How little makes a network wrong: attacks on inputs, and what they say of a network."""

"""Whole procedures on many inputs: recipes, run folders, sweeps, training of the reference networks."""

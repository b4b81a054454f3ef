"""Procedural worlds: parametric shapes and street scenes made from a seed, with nothing to download."""

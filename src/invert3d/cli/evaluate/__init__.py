"""Measure inversions, explanations, detectors and pruned networks."""

"""Inverting detectors: scenes, the job, its scores, its report."""

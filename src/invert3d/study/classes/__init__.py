"""Inverting classifiers: the job, its scores, its report."""

"""Procedures of papers, composed of the parts below."""

"""Write procedural data."""

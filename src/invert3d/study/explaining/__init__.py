"""Why did a network decide so: explanations, whether they are true, mistakes."""

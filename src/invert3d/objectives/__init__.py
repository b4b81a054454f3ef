"""What is asked of the model's outputs and features."""

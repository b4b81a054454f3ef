"""What is optimized, domain by domain: theta -> x."""

"""What changes weights: fitting, its data, networks trained anew or what pruning left."""

"""Find the input for which a frozen model gives the output you ask for."""

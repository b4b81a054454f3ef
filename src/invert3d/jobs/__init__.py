"""Running many things: one job of named units, from one process to many machines."""

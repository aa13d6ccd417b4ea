"""How often the statistics are wrong, by simulation."""

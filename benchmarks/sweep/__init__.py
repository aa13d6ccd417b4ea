"""Sweeps: many requests as one graph of stage items, done by whichever executor, and collected into a table."""

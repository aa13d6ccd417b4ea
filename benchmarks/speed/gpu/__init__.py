"""What this suite does on a GPU: proofs, smoke, and speed, in a few minutes and one file."""

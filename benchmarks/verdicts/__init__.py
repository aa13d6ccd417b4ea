"""What may be said of a comparison, and in which words."""

"""Records on disk: written whole, read again."""

"""Your own images: class folders, or a table."""

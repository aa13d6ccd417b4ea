"""Which patient belongs to which split."""

"""The datasets, each a plugin of one contract."""

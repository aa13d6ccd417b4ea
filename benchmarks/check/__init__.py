"""The public contract test of a plugin."""

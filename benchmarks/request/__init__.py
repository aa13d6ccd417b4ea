"""What was asked for: options, presets, and the identity of an arm."""

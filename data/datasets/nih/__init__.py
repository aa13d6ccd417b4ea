"""NIH ChestX-ray14: its table, its files, its tasks and its splits."""

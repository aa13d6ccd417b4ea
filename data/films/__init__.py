"""Films on disk: what there is, how they are decoded and cached."""

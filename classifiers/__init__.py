"""What judges: image classifiers trained on real images with or without synthetic ones."""

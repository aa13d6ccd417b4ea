"""MedMNIST v2."""

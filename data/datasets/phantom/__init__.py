"""`phantom`, the embedded default: chest films rendered from an anatomical model, with findings drawn into it."""

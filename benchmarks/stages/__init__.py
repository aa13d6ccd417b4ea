"""The stages of a run, each kept under its own key."""

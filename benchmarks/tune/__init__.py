"""Options searched on val, by Optuna; the best is run on test once."""

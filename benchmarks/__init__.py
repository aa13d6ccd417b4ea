"""How it is judged: specifications, plans, stages, records, metrics and statistics."""

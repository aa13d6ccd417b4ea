"""A request from end to end: its plan, its arms, its records."""

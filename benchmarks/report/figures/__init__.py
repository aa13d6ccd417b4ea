"""The figures beside a record."""

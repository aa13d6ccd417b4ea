"""The audit of a dataset: leaks, near duplicates, constant films, attribute shortcuts; `python -m data.audit`."""

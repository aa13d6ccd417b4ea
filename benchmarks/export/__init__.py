"""A run told in the forms that others read."""

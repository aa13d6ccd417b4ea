"""Networks whose features distances are measured in."""

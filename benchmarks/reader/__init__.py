"""A blinded page of real and synthetic films for a human reader, and what the answers come to."""

"""Files fetched from publishers, verified and resumable."""

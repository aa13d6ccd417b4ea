"""Networks of the generators; imported only where one is built."""

"""How results are reported: tables made from records alone."""

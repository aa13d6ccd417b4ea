"""How results are told: tables, footnotes and figures."""

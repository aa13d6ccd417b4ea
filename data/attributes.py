"""Values of the attributes that subgroups are made of."""

from __future__ import annotations

AGE_BANDS = ((18, "0-17"), (40, "18-39"), (65, "40-64"), (float("inf"), "65+"))
"""(below this many years, name of the band), youngest first."""
UNKNOWN = "unknown"
"""The value of an attribute that a film's table or header does not state."""

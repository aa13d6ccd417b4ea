"""The ground floor: what every other package stands on, and nothing of what they decide."""

from __future__ import annotations

__version__ = "0.1.0"

"""The ground floor: what every other package stands on, and nothing of what they decide."""

from __future__ import annotations

from synthworth.threads import wait_asleep

__version__ = "0.1.0"

wait_asleep()  # before anything imports torch

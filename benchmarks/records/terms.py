"""What the licence of a dataset lets be passed on of what was made from its films."""

from __future__ import annotations

import re

OF_THE_USER = "yours"
"""The licence of datasets that are whatever the user has."""
FORBIDS = re.compile(r"\bND\b|(?i:no[- ]?deriv)|(?i:\bcredentialed\b)")
"""Licences that let nothing made from the images be passed on (Creative Commons' NoDerivatives), or only to people who
have signed for them."""


def forbids(licence: str) -> bool:
    """Whether a licence says that nothing made from the films may be passed on, as far as its words tell."""
    return FORBIDS.search(licence) is not None


def is_known(licence: str | None) -> bool:
    """Whether a licence says anything: that of the user's own films does not."""
    return (licence or "").strip() not in ("", OF_THE_USER)

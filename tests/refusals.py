"""What several test files say of a refusal: one line, with all that it must name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from synthworth.errors import UserError


def refusal(ask: Callable[[], object], *parts: str) -> str:
    """The one-line error of a call, which holds all parts."""
    with pytest.raises(UserError) as caught:
        ask()
    said = str(caught.value)
    assert "\n" not in said
    for part in parts:
        assert part in said
    return said

"""Which names of classes are one name: two that differ in capitals or blanks alone are refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from synthworth.errors import UserError


def refuse_lookalikes(classes: Sequence[str], *, declared: Sequence[str] = ()) -> None:
    """Refuse `Normal` beside `normal`, and `No_Finding` beside `No Finding`, unless both are declared.

    Raises
    ------
    UserError
        Naming the two.
    """
    first: dict[str, str] = {}
    for name in classes:
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())
        other = first.setdefault(key, name)
        if other != name and not {other, name} <= set(declared):
            raise UserError(
                f"classes {other!r} and {name!r} differ in capitals or blanks alone. Write them in one way, or declare "
                "that they are two: --data.classes"
            )

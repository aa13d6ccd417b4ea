"""Which names of classes are one name: two that differ in capitals or blanks alone are refused."""

from __future__ import annotations

from collections.abc import Sequence

from data.films.labels import plain_name
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
        other = first.setdefault(plain_name(name), name)
        if other != name and not {other, name} <= set(declared):
            raise UserError(
                f"classes {other!r} and {name!r} differ in capitals or blanks alone, or in as little. Write them in "
                "one way, or declare that they are two: --data.classes"
            )

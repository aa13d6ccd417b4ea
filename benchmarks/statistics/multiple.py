"""Many comparisons at once: Holm's adjustment of their p-values."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of m p-values (Holm 1979), which bounds the chance of any false claim.

    With p_(1) <= ... <= p_(m):  adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).
    The results come in the order of the input.
    """
    m = len(p_values)
    order = sorted(range(m), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * m, 0.0
    for j, i in enumerate(order, start=1):
        largest = max(largest, min(1.0, (m - j + 1) * p_values[i]))
        adjusted[i] = largest
    return adjusted

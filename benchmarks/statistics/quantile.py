"""How many standard errors half an interval is wide, where the variance is a sum of several estimates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Parts = Sequence[tuple[float, float]]
"""(share of the variance, degrees of freedom of its estimate) for each part; the shares sum to 1."""


def quantile(probability: float, parts: Parts) -> float:
    """Quantile of (estimate - truth) / standard error where the variance is a sum of estimated parts.

        q = (q_Cochran + q_Satterthwaite) / 2
        q_Cochran = sum of w t(d),  q_Satterthwaite = t(1 / sum of w^2 / d)

    with w the shares, d the degrees of freedom and t Student's quantile (Cochran 1964, Satterthwaite 1946): their
    errors are opposite.
    """
    from scipy.special import stdtrit

    present = [(share, freedom) for share, freedom in parts if share > 0]
    freedom = 1 / sum(share**2 / freedom for share, freedom in present)
    return (cochran(probability, parts) + float(stdtrit(freedom, probability))) / 2


def cochran(probability: float, parts: Parts) -> float:
    """q_Cochran of `quantile` alone: for a variance whose largest part may have two degrees of freedom.

    The shares are estimated too. Where a variance on two degrees of freedom comes out small by luck, its share does,
    and Satterthwaite's quantile falls faster than it ought to.
    """
    from scipy.special import stdtrit

    return sum(share * float(stdtrit(freedom, probability)) for share, freedom in parts if share > 0)


def one_sided_p(distance: float, se: float, parts: Parts, *, of: Callable[[float, Parts], float] = quantile) -> float:
    """Chance of an estimate `distance` or more above the truth: the level at which the interval ends there.

    Solves of(1 - p) se = distance for p; 0 or 1 where nothing varies.

    Parameters
    ----------
    of : `quantile`, or `cochran` where the interval is made with it.
    """
    from scipy.optimize import brentq

    if not se:
        return 0.0 if distance > 0 else 0.5 if distance == 0 else 1.0
    if distance < 0:
        return 1.0 - one_sided_p(-distance, se, parts, of=of)
    smallest, target = 1e-12, distance / se
    if of(1 - smallest, parts) <= target:
        return smallest
    return float(brentq(lambda p: of(1 - p, parts) - target, smallest, 0.5))

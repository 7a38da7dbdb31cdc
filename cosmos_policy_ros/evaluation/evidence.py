# SPDX-License-Identifier: Apache-2.0
"""How strong paired trials speak for one of two policies, at whatever time one looks.

Whoever looks at an ordinary test after every trial and stops when it is significant is wrong far
more often than it says. The evidence here is the capital of a gambler who bets on the sign of the
next difference: if neither policy is better on average, no strategy of stopping multiplies it by
20 with a probability of more than 1 in 20 (Ville's inequality).

Source: Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting" (JRSS B
2024), section 4, with a uniform mixture over fixed bets in place of the adaptive one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BETS = 200  # fixed bets that are mixed, from -1 to 1
ALPHA = 0.05  # how often a difference may be announced that is none


def evidence(differences: Sequence[float] | NDArray[np.floating]) -> float:
    """Return the evidence that two policies differ: 1 knows nothing, 20 is significant at 5 %.

    Under the hypothesis that each difference is 0 on average, given those before it, it reaches
    1 / a at any time with a probability of at most a, however many trials there are and whenever
    one stops.

    Args:
        differences: (n,) score of the second policy minus that of the first in each pair, from -1
            to 1: success minus success, or progress / 4 minus progress / 4.

    Raises:
        ValueError: A difference is not from -1 to 1.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not (np.abs(values) <= 1.0).all():  # also where one is not a number
        msg = f'differences must be from -1 to 1, got {values.tolist()}'
        raise ValueError(msg)
    edges = np.linspace(-1.0, 1.0, BETS + 1)
    bets = (edges[:-1] + edges[1:]) / 2.0
    gains = np.log1p(bets[:, None] * values[None]).sum(axis=1)
    return float(np.exp(gains).mean())


def p_value(differences: Sequence[float] | NDArray[np.floating]) -> float:
    """Return an anytime-valid two-sided p-value: 1 over the highest evidence that there was.

    Args:
        differences: As of ``evidence``, in the order of the trials.
    """
    highest = max((evidence(differences[: n + 1]) for n in range(len(differences))), default=1.0)
    return min(1.0, 1.0 / highest)

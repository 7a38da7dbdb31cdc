# SPDX-License-Identifier: Apache-2.0
"""How long a query takes, learnt while running: t = a + steps * (c + b * candidates).

A query costs a, its images for the most part; a denoising step costs c, however many candidates
share it, and b for each of them. A query of two chunks, one imagined behind the other, has twice
the steps. The three numbers are a matter of networks and machine and change
slowly: they are fitted by least squares that forget, and only what a new measurement speaks about
is forgotten, so that a thousand queries of one size do not wipe out what the others showed. What
else the machine does changes from one second to the next, and slows all three alike: all times are
multiplied by a pace, the median over the newest queries, which one outlier does not move, no more
than it moves the jitter, their median deviation. So a query of any size tells how long all others
would take now, and nobody has to try them.

Source: directional forgetting of recursive least squares (Cao, Schwartz: "A directional forgetting
algorithm based on the decomposition of the information matrix", Automatica 36, 2000).
"""

from __future__ import annotations

from collections import deque
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FORGETTING = 0.98  # share of the old information that is kept of a, b and c per query
PACE_QUERIES = 5  # newest queries whose median is the pace; it follows a change after three
JITTER_QUERIES = 9  # newest queries whose spread is the jitter
LEAST_JITTER = 0.02  # of the time; a machine that never differed so far still may
TO_STANDARD_DEVIATION = 1.4826  # from the median deviation, of normally distributed times
ENOUGH_STEPS = 2  # 2 of 5 steps choose the same candidate in 95 of 100 queries; 1 in 31
JITTERS = 2.0  # standard deviations that an answer which is afforded has to spare
TRUSTED = 4  # queries from which on a, b and c are known, and a measurement far off is doubted
FAR = 3.0  # times the jitter beyond which a measurement is far off
PRIOR = 1e-6  # information about a, b and c before the first query, against 1 of a query


class Afforded(NamedTuple):
    """What a query has time for.

    Attributes:
        candidates: Candidates N.
        steps: Denoising steps of a chunk.
        depth: Chunks that are imagined one after the other.
    """

    candidates: int
    steps: int
    depth: int


class LatencyModel:
    """The time of a query by its candidates and denoising steps.

    Attributes:
        n: Queries noted.
    """

    def __init__(self) -> None:
        """Begin knowing nothing."""
        self.n = 0
        self._theta = np.zeros(3)  # a, b, c
        # So little that the first query alone makes time proportional to candidates and steps.
        self._information = np.eye(3) * PRIOR
        self._paces = deque([1.0] * JITTER_QUERIES, maxlen=JITTER_QUERIES)

    @property
    def a_s(self) -> float:
        """Time of a query apart from its denoising [s]; NaN before the first."""
        return self._coefficients()[0]

    @property
    def b_s(self) -> float:
        """Time of a candidate in a denoising step [s]; NaN before the first."""
        return self._coefficients()[1]

    @property
    def c_s(self) -> float:
        """Time of a denoising step apart from its candidates [s]; NaN before the first."""
        return self._coefficients()[2]

    def note(self, candidates: int, steps: int, took_s: float) -> None:
        """Learn from a query; leave out those of the warm-up.

        Args:
            candidates: Its candidates N.
            steps: Its denoising steps, those of all its chunks.
            took_s: How long it took [s].
        """
        phi = np.array([1.0, float(candidates * steps), float(steps)])
        usual_s = float(phi @ self._theta)
        far_s = math.inf
        if self.n >= TRUSTED:
            far_s = FAR * self._jitter * abs(usual_s)
            if usual_s > 0.0:
                self._paces.append(took_s / usual_s)
        # What the pace does not explain is a matter of a, b and c.
        unexplained_s = took_s / self._pace - usual_s
        self._fit(phi, min(max(unexplained_s, -far_s), far_s))
        self.n += 1

    def predict(self, candidates: int, steps: int) -> float:
        """Return how long a query will take [s]; NaN before the first.

        Args:
            candidates: Its candidates N.
            steps: Its denoising steps, those of all its chunks.
        """
        a_s, b_s, c_s = self._coefficients()
        return a_s + steps * (c_s + b_s * candidates)

    def jitter_s(self, candidates: int, steps: int) -> float:
        """Return by how much the time of a query differs, as a standard deviation [s].

        Args:
            candidates: Its candidates N.
            steps: Its denoising steps, those of all its chunks.
        """
        return self._jitter * self.predict(candidates, steps)

    def afford(self, budget_s: float, candidates: int, steps: int, depth: int = 1) -> Afforded:
        """Return how much a query has time for.

        First steps are given up down to ``ENOUGH_STEPS``, which choose as all of them do, then
        depth, then candidates, then the last step but one. What is afforded has ``JITTERS`` times
        its jitter to spare.

        Args:
            budget_s: Time that there is [s].
            candidates: Most candidates.
            steps: Most denoising steps of a chunk.
            depth: Most chunks that are imagined one after the other.
        """
        if not self.n:
            return Afforded(candidates, steps, depth)
        share_s = budget_s / (1.0 + JITTERS * self._jitter)
        enough = min(ENOUGH_STEPS, steps)
        choices = [
            *(Afforded(candidates, s, depth) for s in range(steps, enough, -1)),
            *(Afforded(candidates, enough, d) for d in range(depth, 0, -1)),
            *(Afforded(n, enough, 1) for n in range(candidates - 1, 0, -1)),
        ]
        fitting = (c for c in choices if self.predict(c.candidates, c.steps * c.depth) <= share_s)
        return next(fitting, Afforded(1, 1, 1))

    @property
    def _pace(self) -> float:
        """By how much the machine is slower of late than a, b and c say."""
        return float(np.median(list(self._paces)[-PACE_QUERIES:]))

    @property
    def _jitter(self) -> float:
        """Standard deviation of the newest times, as a share of what the pace makes of them."""
        pace = self._pace
        deviation = float(np.median([abs(p - pace) for p in self._paces]))
        return max(TO_STANDARD_DEVIATION * deviation / pace, LEAST_JITTER)

    def _fit(self, phi: NDArray[np.float64], error_s: float) -> None:
        """Learn from a query by a step of recursive least squares."""
        known = self._information @ phi
        if self.n >= TRUSTED:
            self._information -= (1.0 - FORGETTING) * np.outer(known, known) / (phi @ known)
        self._information += np.outer(phi, phi)
        self._theta += np.linalg.solve(self._information, phi) * error_s

    def _coefficients(self) -> tuple[float, float, float]:
        """Return a, b and c at the pace of late [s], which noise may not make negative."""
        if not self.n:
            return math.nan, math.nan, math.nan
        a_s, b_s, c_s = (self._pace * self._theta.clip(0.0)).tolist()
        return a_s, b_s, c_s

# SPDX-License-Identifier: Apache-2.0
"""How much of a planning query there is time for, by what queries took until now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import time
from typing import NamedTuple

from cosmos_policy_ros.core.latency_model import JITTERS, LatencyModel
from cosmos_policy_ros.core.query import PlanQuery


class Spent(NamedTuple):
    """What an answer was made with.

    Attributes:
        steps: Denoising steps of each chunk.
        is_reduced: Whether it is less than was wanted.
        jitter_s: By how much the time of such an answer differs, as a standard deviation [s].
    """

    steps: int
    is_reduced: bool
    jitter_s: float


class QueryBudget:
    """A planning query, whole or as much of it as there is time for.

    Attributes:
        query: All that is wanted.
        may_reduce: Whether candidates, depth and steps may be given up before a query begins.
        model: How long queries take.
    """

    def __init__(self, query: PlanQuery, action_steps: int, may_reduce: bool) -> None:
        """Begin without a measurement.

        Args:
            query: All that is wanted.
            action_steps: Denoising steps that the checkpoint takes for an action chunk.
            may_reduce: Whether candidates, depth and steps may be given up before a query begins;
                else only the steps that are left when the time is over.
        """
        self.query, self.may_reduce, self.model = query, may_reduce, LatencyModel()
        self._steps = action_steps
        self._fewest = 1 if may_reduce else query.candidates
        self._shallowest = 1 if may_reduce else query.depth

    def measure(self, plan: Callable[[PlanQuery], object]) -> None:
        """Have queries answered: first to warm up, then to learn how long they take.

        Args:
            plan: Answers a query, about whatever observation.
        """
        most, deepest = self.query.candidates, self.query.depth
        # Some backends prepare every number of rows when it is met first.
        for n in range(self._fewest, most + 1):
            plan(self._reduce(n, 1, deepest))
        for _ in range(2):
            for n, steps in ((self._fewest, 1), (self._fewest, self._steps), (most, self._steps)):
                for depth in sorted({self._shallowest, deepest}):
                    start_s = time.perf_counter()
                    plan(self._reduce(n, steps, depth))
                    self.model.note(n, steps * depth, time.perf_counter() - start_s)

    def fit(self, left_s: float | None) -> PlanQuery:
        """Return the query as far as there is time for it.

        Args:
            left_s: The time until the answer is too late [s]; None where it never is.
        """
        if left_s is None:
            return self.query
        n, steps, depth = self.query.candidates, self._steps, self.query.depth
        if self.may_reduce:
            n, steps, depth = self.model.afford(left_s, n, steps, depth)
        budget_s = left_s - JITTERS * self.model.jitter_s(n, steps * depth)
        return replace(self._reduce(n, steps, depth), budget_s=max(budget_s, 0.0))

    def note(self, query: PlanQuery, steps: int | None, took_s: float) -> Spent:
        """Learn from an answer, and return what it was made with.

        Args:
            query: What was answered, as of ``fit``.
            steps: Denoising steps that its chunks really took; None is all of the query's.
            took_s: How long it took [s].
        """
        made = steps or query.steps or self._steps
        self.model.note(query.candidates, made * query.depth, took_s)
        is_reduced = (
            query.candidates < self.query.candidates
            or query.depth < self.query.depth
            or made < self._steps
        )
        return Spent(made, is_reduced, self.model.jitter_s(query.candidates, made * query.depth))

    def describe(self) -> str:
        """Return what the machine can afford, for people."""
        most, fewest = self.query.candidates, self._fewest
        whole_s = self.model.predict(most, self._steps * self.query.depth)
        one_s, least_s = (
            self.model.predict(fewest, steps * self._shallowest) for steps in (self._steps, 1)
        )
        return (
            f'{most} candidates in {whole_s * 1e3:.0f} ms, which is a query every {whole_s:.2f} s '
            f'at most, {fewest} in {one_s * 1e3:.0f} ms, {fewest} of one denoising step in '
            f'{least_s * 1e3:.0f} ms'
        )

    def _reduce(self, n: int, steps: int, depth: int) -> PlanQuery:
        """Return the query for n candidates, a depth and, if they are not all, that many steps."""
        return self.query.reduced(n, steps if steps < self._steps else None, depth)

# SPDX-License-Identifier: Apache-2.0
"""How much a policy computes for one observation: candidates, futures, depth, pruning, time."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
from numbers import Integral, Real

from cosmos_policy_ros.types import ConfigError

LEAST_GUIDANCE, MOST_GUIDANCE = 1.0, 3.0  # beyond 0, which leaves the label out


@dataclass(frozen=True)
class PlanQuery:
    """A planning query: N candidates, M futures of each, K values of each of those.

    The default of N is the one of the running stack; measurements of the plain policy take 1.

    Attributes:
        candidates: Candidates N, at least 1; candidate 0 is what a query for one would return.
        futures: Futures M per candidate; 0 takes the one denoised together with the action.
        values: Values K per future; 0 reads the value of the stage before.
        depth: Chunks that are imagined one after the other before the value is read. With 2 the
            policy acts once more on the predicted state of every future, and the value is that at
            the end of this second chunk.
        keep: Candidates kept after the first, second, … denoising step, those with the best value
            so far; empty keeps all. Dropped candidates are not in the answer, and only what is
            kept goes through the stages of futures and values.
        temperature: How far the candidates are spread as different plans, see
            ``core.variations``; 0 leaves them to the noise. Those but the first are then judged
            by a future, or a value of the action, of their own.
        paired: Whether futures and values of all candidates are drawn with the noise of candidate
            0, so that the candidates differ by what they do and not by luck; otherwise with that
            of their own, as in the reference.
        guidance: How strongly a checkpoint that was told what went better than expected is asked
            for that, see ``core.advantage``: 0 not at all, 1 as in training, up to 3 beyond, which
            calls the network twice for every step. Other checkpoints know nothing but 0 and 1,
            which are the same for them.
        seed: Base seed; candidate i is drawn with ``seed + i``.
        steps: Denoising steps of the action chunk; None takes the checkpoint's.
        budget_s: Time for the answer from the call of ``plan`` on [s]; denoising ends early where
            another network call would take it longer, but every stage makes one. None takes as
            long as it takes, and the answer depends on nothing but the query.
    """

    candidates: int = 4
    futures: int = 0
    values: int = 0
    depth: int = 1
    keep: tuple[int, ...] = ()
    temperature: float = 0.0
    paired: bool = False
    guidance: float = 1.0
    seed: int = 0
    steps: int | None = None
    budget_s: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: A number is not whole or out of range, or ``keep`` rises or goes below 1.
        """
        steps = () if self.steps is None else (self.steps,)
        counts = (self.candidates, self.futures, self.values, self.depth, self.seed)
        for number in (*counts, *steps, *self.keep):
            if not isinstance(number, Integral) or isinstance(number, bool):
                msg = f'a planning query is made of whole numbers, got {number!r} in {self}'
                raise ConfigError(msg)
        if self.candidates < 1 or min(self.futures, self.values) < 0:
            msg = (
                f'cannot plan with {self.candidates} candidates, {self.futures} futures, '
                f'{self.values} values; it takes at least 1 candidate and 0 of the others'
            )
            raise ConfigError(msg)
        if self.depth < 1:
            msg = f'a planning query imagines at least 1 chunk, got a depth of {self.depth}'
            raise ConfigError(msg)
        if self.seed < 0:
            msg = f'the seed of a query must be at least 0, got {self.seed}'
            raise ConfigError(msg)
        if self.steps is not None and self.steps < 1:
            msg = f'an action chunk takes at least 1 denoising step, got {self.steps}'
            raise ConfigError(msg)
        if not (isinstance(self.temperature, Real) and 0.0 <= self.temperature < math.inf):
            msg = f'the temperature of a query is a number of at least 0, got {self.temperature!r}'
            raise ConfigError(msg)
        guided = isinstance(self.guidance, Real) and (
            self.guidance == 0.0 or LEAST_GUIDANCE <= self.guidance <= MOST_GUIDANCE
        )
        if not guided:
            msg = (
                f'the guidance of a query is 0 or from {LEAST_GUIDANCE:g} to {MOST_GUIDANCE:g}, '
                f'got {self.guidance!r}'
            )
            raise ConfigError(msg)
        if not isinstance(self.paired, bool):
            msg = f'paired is true or false, got {self.paired!r}'
            raise ConfigError(msg)
        if self.budget_s is not None and not (
            isinstance(self.budget_s, Real) and 0.0 <= self.budget_s < math.inf
        ):
            msg = f'the budget of a query is a time of at least 0 s, got {self.budget_s!r}'
            raise ConfigError(msg)
        before = (self.candidates, *self.keep)
        if not all(a >= b >= 1 for a, b in zip(before, self.keep, strict=False)):
            msg = f'{self._kept}; it takes one number for each denoising step, {self._range}'
            raise ConfigError(msg)

    def check(self, action_steps: int) -> None:
        """Refuse a query that prunes more often than candidates are denoised.

        Args:
            action_steps: Denoising steps that the checkpoint takes for an action chunk.

        Raises:
            ConfigError: ``keep`` has more numbers than there are steps.
        """
        steps = self.steps or action_steps
        if len(self.keep) > steps:
            msg = (
                f'{self._kept}; it takes at most {steps} numbers, one for each denoising step, '
                f'{self._range}'
            )
            raise ConfigError(msg)

    def reduced(self, candidates: int, steps: int | None, depth: int | None = None) -> PlanQuery:
        """Return the query for less of everything; no more are kept than there are.

        Args:
            candidates: Its candidates, at most as many as now.
            steps: Its denoising steps; None takes as many as now.
            depth: Its depth, at most as deep as now; None is as deep.
        """
        steps = steps or self.steps
        keep = tuple(min(n, candidates) for n in self.keep[:steps])
        depth = depth or self.depth
        return replace(self, candidates=candidates, keep=keep, steps=steps, depth=depth)

    @property
    def _kept(self) -> str:
        return f'keep is {" ".join(map(str, self.keep))}'

    @property
    def _range(self) -> str:
        return f'never rising, at most the {self.candidates} candidates and at least 1'


def read_keep(text: str) -> tuple[int, ...]:
    """Return the numbers of a text such as ``4 2 1``, for ``PlanQuery.keep``.

    Raises:
        ConfigError: It holds something else.
    """
    try:
        return tuple(int(word) for word in text.split())
    except ValueError as error:
        msg = f'keep must be whole numbers such as 4 2 1, got {text!r}'
        raise ConfigError(msg) from error

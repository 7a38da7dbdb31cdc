# SPDX-License-Identifier: Apache-2.0
"""When denoising has to end so that an answer is there in time.

Every network call brings a clean estimate of what is denoised, so an answer can be had after any
of them (an anytime algorithm). The time of the next call is taken from the calls of the same
query: they know best how busy the machine is now.
"""

from __future__ import annotations

from collections.abc import Callable
import math
import time

Clock = Callable[[], float]


class Deadline:
    """Counts the denoising steps of a query, stage by stage, and tells when to make no more.

    Attributes:
        steps: Denoising steps made in the stage under way.
    """

    def __init__(self, budget_s: float | None = None, clock: Clock = time.perf_counter) -> None:
        """Begin now.

        Args:
            budget_s: Time until the answer must be there [s]; None never ends a stage early.
            clock: Time [s] of a clock that only goes forward.
        """
        self._clock = clock
        self._end_s = math.inf if budget_s is None else clock() + budget_s
        self.start_stage()

    def start_stage(self, steps_behind: float = 0.0) -> None:
        """Begin the denoising of a stage.

        Args:
            steps_behind: What the answer costs behind this stage, in steps of this one.
        """
        self.steps = 0
        self._steps_behind, self._slowest_s, self._last_s = steps_behind, 0.0, self._clock()

    @property
    def is_set(self) -> bool:
        """Whether there is an end at all, so that the network calls must be waited for."""
        return math.isfinite(self._end_s)

    def note_step(self) -> bool:
        """Note a step that was made; return whether another one like it would come too late.

        The slowest step of the stage stands for all that are to come.
        """
        now_s = self._clock()
        self._slowest_s = max(self._slowest_s, now_s - self._last_s)
        self.steps, self._last_s = self.steps + 1, now_s
        return now_s + (1.0 + self._steps_behind) * self._slowest_s > self._end_s

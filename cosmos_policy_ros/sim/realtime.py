# SPDX-License-Identifier: Apache-2.0
"""A scene that follows a clock: it is stepped up to now before it is read or commanded."""

from __future__ import annotations

from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.states import States
import numpy as np
from numpy.typing import NDArray

STEP_NS = 2_000_000  # one physics step, 500 Hz


class RealTime:
    """Keep a scene in step with a clock.

    Attributes:
        stamp_ns: The time that the scene shows [ns].
        skipped_ns: Real time that was not simulated, since the start [ns].
        n_steps: Physics steps since the start.
    """

    def __init__(self, sim: AlohaSim, start: NDArray[np.float32], max_lag_s: float) -> None:
        """Take a scene, which needs a reset before it follows a clock.

        Args:
            sim: Scene.
            start: (A,) float32 targets held after a reset [rad; gripper 0..1].
            max_lag_s: A lag beyond this is not caught up with [s]; a stalled process would else
                be busy with the past.
        """
        self.sim = sim
        self.stamp_ns, self.skipped_ns, self.n_steps = 0, 0, 0
        self._start, self._target = start, start
        self._max_lag_ns = round(max_lag_s * 1e9)

    @property
    def target(self) -> NDArray[np.float32]:
        """The (A,) float32 joint targets in force [rad; gripper 0..1]."""
        return self._target

    def reset(self, seed: int, now_ns: int, states: States = 'normal') -> None:
        """Put the scene into the start state of ``seed`` and hold the start pose."""
        self.sim.reset(seed, states)
        self._target = self._start
        self.stamp_ns = now_ns

    def command(self, first: int, positions: NDArray[np.float64], now_ns: int) -> None:
        """Step up to now, then change the targets of some joints.

        Args:
            first: Index of the first joint.
            positions: Targets of it and those after it [rad; gripper 0..1].
            now_ns: Time now [ns].
        """
        self.advance(now_ns)
        target = self._target.copy()
        target[first : first + len(positions)] = positions
        self._target = target

    def advance(self, now_ns: int) -> int:
        """Step up to now; return how much real time was skipped [ns].

        Where the clock was set back, the scene goes on from the time that it shows then.
        """
        if self.stamp_ns - now_ns > self._max_lag_ns:
            self.stamp_ns = now_ns
        skipped_ns = max(0, now_ns - self.stamp_ns - self._max_lag_ns)
        self.stamp_ns += skipped_ns
        self.skipped_ns += skipped_ns
        steps = (now_ns - self.stamp_ns) // STEP_NS
        if steps > 0:
            self.sim.step(self._target, steps)
            self.stamp_ns += steps * STEP_NS
            self.n_steps += steps
        return skipped_ns

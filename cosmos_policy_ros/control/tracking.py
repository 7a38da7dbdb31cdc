# SPDX-License-Identifier: Apache-2.0
"""The distance that each joint may move in one tick and still be able to brake in time.

A joint that moves v in a tick and may change that by c per tick needs v + (v - c) + (v - 2c) … to
stop. The sum is exact for ticks (the textbook v²/2a is not), so a joint that never moves faster
than the inverse of it always stops where it should.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
SLACK = 2e-5  # [rad/s] by which a speed may pass a limit: the rounding of float32 targets at 50 Hz


class JointTracker:
    """Position and speed of all joints on their way after moving targets, within all limits.

    Attributes:
        position: (A,) float64 commanded now [rad; gripper 0..1].
        speed: (A,) float64 of the last tick [rad/s; gripper 1/s].
    """

    def __init__(
        self,
        lower: NDArray[np.float32],
        upper: NDArray[np.float32],
        max_speed: NDArray[np.float32],
        max_acceleration: NDArray[np.float32],
        period_s: float,
    ) -> None:
        """Start at rest at the lower ends of the ranges.

        Args:
            lower: (A,) float32 lowest positions [rad; gripper 0..1].
            upper: (A,) float32 highest positions [rad; gripper 0..1].
            max_speed: (A,) float32 highest speeds [rad/s; gripper 1/s].
            max_acceleration: (A,) float32 highest accelerations [rad/s²; gripper 1/s²].
            period_s: Length of a tick [s].
        """
        self._lower = lower.astype(np.float64)
        self._upper = upper.astype(np.float64)
        self._max_speed = max_speed.astype(np.float64)
        self._change = max_acceleration.astype(np.float64) * period_s  # [rad/s] in one tick
        self._period_s = period_s
        self._target: Vector
        self._target_speed: Vector
        self.start(lower)

    def start(self, position: NDArray[np.float32]) -> None:
        """Stand still at ``position``, moved into the range."""
        self.position: Vector = np.clip(position.astype(np.float64), self._lower, self._upper)
        self.speed: Vector = np.zeros_like(self.position)
        self._rest()

    @property
    def stopping_position(self) -> Vector:
        """The (A,) position where it would come to rest if it braked from now on."""
        steps = np.abs(self.speed) / self._change  # v - c, v - 2c, … as long as that is positive
        whole = np.floor(steps)
        ticks = whole * steps - whole * (whole + 1.0) / 2.0
        way = self.position + np.sign(self.speed) * ticks * self._change * self._period_s
        return np.clip(way, self._lower, self._upper)

    def brake(self) -> None:
        """Slow down as fast as allowed, then stand still."""
        slower = np.sign(self.speed) * np.maximum(np.abs(self.speed) - self._change, 0.0)
        self._move(slower, self.position + slower * self._period_s)
        self._rest()

    def follow(self, target: NDArray[np.float32], elapsed_s: float) -> int | None:
        """Move one tick towards the target.

        Args:
            target: (A,) float32 finite, wanted now [rad; gripper 0..1].
            elapsed_s: Time since the last target [s], from one period on.

        Returns:
            The joint that stays farthest from the target as it was given, None if none does.
        """
        wanted = np.clip(target, self._lower, self._upper).astype(np.float64)
        target_speed = (wanted - self._target) / elapsed_s
        exact = (wanted - self.position) / self._period_s
        low, high = self._find_speeds()
        follows = (exact >= low - SLACK) & (exact <= high + SLACK)
        # Arriving much faster than the target itself moves would shoot past it.
        follows &= np.abs(exact - target_speed) <= self._change + SLACK
        if follows.all():
            self._move(exact, wanted)
        else:
            other = np.clip(self._catch_up(wanted, target_speed), low, high)
            speed = np.where(follows, exact, other)
            moved = self.position + speed * self._period_s
            self._move(speed, np.where(follows, wanted, moved))
        self._target, self._target_speed = wanted, target_speed
        gap = np.abs(self.position - target)
        return None if not gap.any() else int(gap.argmax())

    def _catch_up(self, wanted: Vector, target_speed: Vector) -> Vector:
        """Return the (A,) speeds that close the gap to a moving target without passing it.

        The joint brakes relative to the target. One jump of the target is no motion of it, so its
        speed only counts as far as the tick before showed it too.
        """
        steady = np.minimum(np.abs(target_speed), np.abs(self._target_speed))
        steady = np.sign(target_speed) * np.minimum(steady, self._max_speed)
        gap = wanted - steady * self._period_s - self.position
        return steady + np.sign(gap) * self._find_stopping_speed(np.abs(gap))

    def _find_speeds(self) -> tuple[Vector, Vector]:
        """Return the (A,) lowest and highest speeds of this tick by all three limits."""
        low = np.maximum(self.speed - self._change, -self._max_speed)
        high = np.minimum(self.speed + self._change, self._max_speed)
        high = np.minimum(high, self._find_stopping_speed(self._upper - self.position))
        low = np.maximum(low, -self._find_stopping_speed(self.position - self._lower))
        return np.minimum(low, high), high

    def _find_stopping_speed(self, distance: Vector) -> Vector:
        """Return the (A,) highest speeds from which a joint can stop within (A,) distances."""
        steps = distance / self._period_s / self._change  # in units of one tick's change
        full = np.floor((np.sqrt(1.0 + 8.0 * steps) - 1.0) / 2.0)  # whole ticks of braking
        return self._change * (steps / (full + 1.0) + full / 2.0)

    def _move(self, speed: Vector, position: Vector) -> None:
        self.speed = speed
        self.position = np.clip(position, self._lower, self._upper)

    def _rest(self) -> None:
        """Take the target to be where the joint is, standing still."""
        self._target = self.position
        self._target_speed = np.zeros_like(self.position)

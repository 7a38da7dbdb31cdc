# SPDX-License-Identifier: Apache-2.0
"""A scripted expert for the transfer-cube task that sees the true cube pose.

The expert is a function of what can be observed (joint pose, cube, grip), not of a clock: when it
is pushed off its course or misses the cube it plans again from where the arms are. That is what a
policy can imitate, and what a clean recording never shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.sim.aloha import AlohaSim, CONTROL_HZ
from cosmos_policy_ros.sim.kinematics import Arm
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PHASES = (
    'reach', 'descend', 'grasp', 'carry', 'approach', 'take', 'give', 'retreat', 'rest',
)  # fmt: skip
LEFT, RIGHT = slice(0, 7), slice(7, 14)
MEET_M = np.array([-0.02, 0.5, 0.24])  # where the cube changes hands
WAIT_M = np.array([-0.16, 0.5, 0.24])  # left fingertip before the hand-over
PICK_PITCH = np.deg2rad(60.0)  # right gripper points this far down [rad]
TAKE_ROLL = np.deg2rad(90.0)  # left fingers close from above and below [rad]
OPEN, CLOSED = 1.0, 0.0
SPEED = 1.35  # [rad/s] mean joint speed of a free motion; the limit of the robot is 3.14
SLOW = 0.55  # [rad/s] near the cube
DEEP_M = 0.012  # how far the left fingertips reach past the cube's centre
APPROACH_PUSH = 0.4  # a harder push this close knocks the cube out of the other hand
LIFT_S = 0.5  # [s] until a carried cube must have left the table
EMPTY = 0.45  # a closing gripper below this opening holds nothing; the cube keeps it at 0.6


@dataclass(frozen=True)
class Noise:
    """What goes wrong in an episode.

    Attributes:
        pushes: Mean number of pushes off the course in one episode.
        push_rad: Standard deviation of the push in each joint [rad]; near the cube
            ``APPROACH_PUSH`` of it.
        grasp_m: Standard deviation of the error in where the right arm believes the cube [m].
        take_m: The same of how far the left arm stops short of it.
        retry: Whether the expert notices a missed cube and tries again.
    """

    pushes: float = 0.0
    push_rad: float = 0.12
    grasp_m: float = 0.0
    take_m: float = 0.0
    retry: bool = True


def draw_noise(rng: np.random.Generator) -> Noise:
    """Return what goes wrong in one recorded episode.

    Most episodes are pushed off their course and recover; some reach beside the cube first and try
    again; some do not notice and fail, which is what the value function has to see.
    """
    kind = rng.random()
    if kind < 0.55:
        return Noise(pushes=2.0)
    if kind < 0.65:
        return Noise(pushes=1.0, grasp_m=0.025)
    if kind < 0.75:
        return Noise(pushes=1.0, take_m=0.03)
    if kind < 0.9:
        return Noise(pushes=1.0, grasp_m=0.03, retry=False)
    return Noise(pushes=1.0, take_m=0.03, retry=False)


class TransferExpert:
    """Joint targets for both arms, one call per control tick."""

    def __init__(self, sim: AlohaSim, rng: np.random.Generator, noise: Noise) -> None:
        """Plan for the scene as it stands after a reset.

        Args:
            sim: Scene, already reset.
            rng: Source of the disturbances.
            noise: What goes wrong.
        """
        self.sim, self.rng, self.noise = sim, rng, noise
        self.arms = (Arm(sim, 'left'), Arm(sim, 'right'))
        self.phase = 'reach'
        self.rested_s = 0.0  # [s] since the task was done
        self._command = sim.proprio.astype(np.float64)
        self._grasp_error = rng.normal(0.0, 1.0, 2) * noise.grasp_m
        self._take_error = -abs(rng.normal()) * noise.take_m
        self._move: Move | None = None
        self._push_ticks = 0
        self._push: Array = np.zeros(14)
        self._aim: Array = MEET_M  # where the approach ends

    @property
    def expert(self) -> bool:
        """Whether the present action is one to imitate."""
        wrong = bool(self._grasp_error.any())
        if self.phase in PHASES[PHASES.index('approach') :]:
            wrong = wrong or self._take_error != 0.0
        return not self._push_ticks and not wrong

    def action(self) -> NDArray[np.float32]:
        """Return (14,) float32 joint targets for this tick [rad; gripper 0..1]."""
        dt = 1.0 / CONTROL_HZ
        self.rested_s += dt * (self.phase == 'rest')
        if self._push_ticks:
            self._push_ticks -= 1
            self._command += self._push * dt
            if not self._push_ticks:
                self.phase = 'reach' if self.phase in ('reach', 'descend') else self.phase
                self._move = None
        elif self._may_push() and self.rng.random() < self.noise.pushes / 250.0:
            self._push_ticks = int(self.rng.integers(8, 18))
            arm = np.zeros(14)
            side = RIGHT if self.phase in ('reach', 'descend') or self.rng.random() < 0.5 else LEFT
            scale = self.noise.push_rad * (APPROACH_PUSH if self.phase == 'approach' else 1.0)
            arm[side.start : side.stop - 1] = self.rng.normal(0.0, scale, 6)
            self._push = arm * CONTROL_HZ / self._push_ticks
        else:
            if self._move is None:
                self._move = self._plan()
            elif self.phase == 'descend' or (self.phase == 'approach' and not self._lost):
                self._move.goal = self._plan().goal  # the cube may still swing or roll
            self._command = self._move.step(dt)
            if self.phase == 'approach':
                self._command[0:6] = self._point_left(self._approach(self._move))
            if self.noise.retry and self._lost:
                self.phase, self._move, self._grasp_error = 'reach', None, np.zeros(2)
            elif self._move.done:
                self.phase, self._move = self._next(), None
        return self._command.astype(np.float32)

    def _may_push(self) -> bool:
        """Pushing while the fingers close or hand over breaks the grasp rather than the course."""
        return self.phase in ('reach', 'descend', 'carry', 'approach')

    def _plan(self) -> Move:
        """Return the motion of the present phase from where the arms are."""
        command = self._command
        believed = self.sim.cube + np.array([*self._grasp_error, 0.0])
        target = command.copy()
        if self.phase == 'reach':
            target[7:13] = self._point_right(believed + np.array([0.0, 0.0, 0.075]))
            target[0:6] = self._point_left(WAIT_M)
            target[6], target[13] = OPEN, OPEN
            return Move(command, target, SPEED)
        if self.phase == 'descend':
            target[7:13] = self._point_right(np.array([*believed[:2], 0.02]))
            return Move(command, target, SLOW)
        if self.phase == 'grasp':
            target[13] = CLOSED
            return Move(command, target, SPEED, least_s=0.4)
        if self.phase == 'carry':
            target[7:13] = self._point_right(MEET_M)
            target[0:6] = self._point_left(WAIT_M)
            target[6] = OPEN
            return Move(command, target, SPEED)
        if self.phase == 'approach':
            cube = MEET_M if self._lost else self.sim.cube
            reach_x = DEEP_M + self._take_error
            self._aim = cube + np.array([reach_x, 0.0, 0.0])
            target[0:6] = self._point_left(self._aim)
            return Move(command, target, SLOW)
        if self.phase == 'take':
            target[6] = CLOSED
            return Move(command, target, SPEED, least_s=0.4)
        if self.phase == 'give':
            target[13] = OPEN
            return Move(command, target, SPEED, least_s=0.3)
        if self.phase == 'retreat':
            target[7:13] = self._point_right(MEET_M + np.array([0.12, 0.0, 0.08]))
            return Move(command, target, SPEED)
        return Move(command, target, SPEED, least_s=10.0)

    def _approach(self, move: Move) -> Array:
        """Return where the left fingertips are on their way to the cube [m, world].

        They come to its height and depth first and then go straight at it. A motion that is
        straight in the joints is an arc in space, and its end brushes the cube with a finger.
        """
        start = self.arms[0].tip(move.start[0:6])
        along = move.along
        part = np.array([along, min(1.0, 2.0 * along), min(1.0, 2.0 * along)])
        return start + part * (self._aim - start)

    def _point_left(self, tip: Array) -> Array:
        """Return the (6,) left arm joints that put the rolled fingertips at ``tip`` [m, world]."""
        return self.arms[0].solve(tip, 0.0, TAKE_ROLL, self._command[0:6])

    def _point_right(self, tip: Array) -> Array:
        """Return the (6,) right arm joints that put the pitched fingertips at ``tip``."""
        return self.arms[1].solve(tip, PICK_PITCH, 0.0, self._command[7:13])

    @property
    def _lost(self) -> bool:
        """Whether the cube lies on the table though a hand should hold it."""
        held = self.phase in ('carry', 'approach', 'take', 'give')
        at_s = self._move.at_s if self._move else 0.0
        lifting = self.phase == 'carry' and at_s < LIFT_S
        return held and not lifting and bool(self.sim.cube[2] < 0.05)

    def _next(self) -> str:
        """Return the phase that follows, or the one to start again from."""
        left, right = self.sim.proprio[[6, 13]]
        if self.noise.retry and self.phase == 'grasp' and right < EMPTY:
            self._grasp_error = np.zeros(2)
            return 'reach'
        if self.noise.retry and self.phase == 'take' and left < EMPTY:
            self._take_error = 0.0
            return 'carry'
        return PHASES[min(PHASES.index(self.phase) + 1, len(PHASES) - 1)]


class Move:
    """A smooth motion between two joint poses."""

    def __init__(self, start: Array, goal: Array, speed: float, least_s: float = 0.12) -> None:
        """Plan the duration from the farthest arm joint [rad] and a mean speed [rad/s]."""
        self.start, self.goal = start.copy(), goal
        arms = np.r_[0:6, 7:13]
        far = float(np.abs(goal - start)[arms].max())
        self.length_s = max(least_s, far / speed, 0.25 if (goal != start)[[6, 13]].any() else 0.0)
        self.at_s = 0.0

    def step(self, dt: float) -> Array:
        """Advance by ``dt`` seconds and return the joint pose there."""
        self.at_s = min(self.at_s + dt, self.length_s)
        return self.start + self.along * (self.goal - self.start)

    @property
    def along(self) -> float:
        """Share of the way that is done."""
        u = self.at_s / self.length_s
        return u * u * (3.0 - 2.0 * u)

    @property
    def done(self) -> bool:
        """Whether the goal is reached."""
        return self.at_s >= self.length_s

# SPDX-License-Identifier: Apache-2.0
"""What scripted experts share: smooth motions, pushes off the course, phases that start again.

An expert gets the true poses of the pieces. It is a function of what can be observed (joint pose,
pieces, grip), not of a clock: when it is pushed off its course or misses a piece it plans again
from where the arms are. That is what a policy can imitate, and what a clean recording never shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, TYPE_CHECKING

from cosmos_policy_ros.sim.tasks import CONTROL_HZ, Task
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cosmos_policy_ros.sim.kinematics import Arm  # loads mujoco, which a row does not need

Array = NDArray[np.float64]

LEFT, RIGHT = slice(0, 7), slice(7, 14)  # of an action
OPEN, CLOSED = 1.0, 0.0
LIMIT_S = 10.0  # of an episode: longer than an evaluation, so that a second try is seen to its end
REST_S = 1.0  # [s] recorded after the task is done, so that a policy learns to stay


class Scene(Protocol):
    """What a scripted expert needs of the simulator: true poses, the reward and the arms."""

    name: str  # of the task

    @property
    def proprio(self) -> NDArray[np.float32]:
        """Measured joints, (14,) float32 [rad; gripper 0..1]."""

    @property
    def reward(self) -> int:
        """Reward of the task, 0 to 4."""

    def place(self, body: str) -> Array:
        """Return the centre of a piece, (3,) [m, world]."""

    def turn(self, body: str) -> Array:
        """Return the (3, 3) orientation of a piece; the columns are its axes in the world."""

    def arm(self, side: str) -> Arm:
        """Return the inverse kinematics of the ``left`` or ``right`` arm."""


@dataclass(frozen=True)
class Noise:
    """Disturbances of an episode.

    Attributes:
        pushes: Mean number of pushes off the course in one episode.
        push_rad: Standard deviation of the push in each joint [rad]; less where a push would break
            a grasp.
        grasp_m: Standard deviation of the error in where an arm believes what it grasps [m].
        meet_m: The same of the error with which the hands meet [m].
        drops: Whether a hand opens on the way.
        retry: Whether the expert notices a mistake and tries again.
    """

    pushes: float = 0.0
    push_rad: float = 0.12
    grasp_m: float = 0.0
    meet_m: float = 0.0
    drops: bool = False
    retry: bool = True


class Expert(ABC):
    """Joint targets for both arms, one call of ``action`` per control tick.

    A task's own expert sets ``task`` and ``phases`` and defines all that is abstract here; it may
    override ``arrived``. Points of a motion are in a space of its choice, which ``to_joints``
    knows: the 14 joints, or poses of the fingertips.

    Attributes:
        task: The simulated task.
        phases: Names of the phases in their usual order; the first starts the task, the last stays
            still.
        phase: Name of the present phase.
        rested_s: Time since the task was done [s].
        command: (14,) float64 joint targets of the last tick [rad; gripper 0..1].
        move: Motion of the present phase, None until it is planned.
    """

    task: ClassVar[Task]
    phases: ClassVar[tuple[str, ...]]

    def __init__(self, sim: Scene, rng: np.random.Generator, noise: Noise) -> None:
        """Take the scene as it stands after a reset.

        Args:
            sim: Scene, already reset.
            rng: Source of the disturbances.
            noise: What goes wrong.
        """
        self.sim, self.rng, self.noise = sim, rng, noise
        self.arms = (sim.arm('left'), sim.arm('right'))
        self.phase = self.phases[0]
        self.rested_s = 0.0
        self.command = sim.proprio.astype(np.float64)
        self.move: Move | None = None
        self._push_ticks = 0
        self._push: Array = np.zeros(14)

    @staticmethod
    @abstractmethod
    def draw_noise(rng: np.random.Generator) -> Noise:
        """Return the disturbances of one recorded episode."""

    @property
    def expert(self) -> bool:
        """Whether the present action is one to imitate."""
        return not self._push_ticks and not self.mistaken

    def action(self) -> NDArray[np.float32]:
        """Return (14,) float32 joint targets for this tick [rad; gripper 0..1]."""
        dt = 1.0 / CONTROL_HZ
        self.rested_s += dt * (self.phase == self.phases[-1])
        if self._push_ticks:
            self._push_ticks -= 1
            self.command += self._push * dt
            if not self._push_ticks:
                self.phase, self.move = self.phase_after_push(), None
        elif self.push_scale and self.rng.random() < self.noise.pushes / 250.0:
            self._push_ticks = int(self.rng.integers(8, 18))
            arm, side = np.zeros(14), self.pushed_arm()
            scale = self.noise.push_rad * self.push_scale
            arm[side.start : side.stop - 1] = self.rng.normal(0.0, scale, 6)
            self._push = arm * CONTROL_HZ / self._push_ticks
        else:
            if self.move is None:
                self.move = self.plan_move()
            elif self.tracking:
                self.move.goal = self.plan_move().goal
            self.command = self.to_joints(self.move.step(dt))
            if self.noise.retry and self.lost:
                self.phase, self.move = self.start_over(), None
            elif self.arrived:
                self.phase, self.move = self.next_phase(), None
        return self.command.astype(np.float32)

    def following_phase(self) -> str:
        """Return the name of the phase behind the present one; the last stays."""
        return self.phases[min(self.phases.index(self.phase) + 1, len(self.phases) - 1)]

    @property
    @abstractmethod
    def mistaken(self) -> bool:
        """Whether the expert makes a mistake on purpose now, which nobody shall imitate."""

    @property
    @abstractmethod
    def push_scale(self) -> float:
        """Share of ``Noise.push_rad`` with which an arm may be pushed now.

        It is 0 where a push would break a grasp and not only the course.
        """

    @abstractmethod
    def pushed_arm(self) -> slice:
        """Return the part of an action, ``LEFT`` or ``RIGHT``, whose arm is pushed now."""

    @abstractmethod
    def phase_after_push(self) -> str:
        """Return the name of the phase to go on with after a push; its motion is planned anew."""

    @abstractmethod
    def plan_move(self) -> Move:
        """Return the motion of the present phase.

        It begins where ``command`` is. While a phase tracks, this is called in every tick for the
        goal alone.
        """

    @property
    @abstractmethod
    def tracking(self) -> bool:
        """Whether the goal follows the pieces now, which may still swing or roll."""

    @abstractmethod
    def to_joints(self, point: Array) -> Array:
        """Return the (14,) joint targets [rad; gripper 0..1] of a point of ``move``."""

    @property
    def arrived(self) -> bool:
        """Whether the present phase is over: here when its motion is."""
        return self.move is not None and self.move.done

    @property
    @abstractmethod
    def lost(self) -> bool:
        """Whether a piece is not where it should be in this phase, so that it starts over."""

    @abstractmethod
    def start_over(self) -> str:
        """Return the name of the phase to start again from after a piece was lost."""

    @abstractmethod
    def next_phase(self) -> str:
        """Return the name of the phase to go on with; an earlier one makes another try."""


class Move:
    """A smooth motion between two points, of joints or of space."""

    def __init__(self, start: Array, goal: Array, length_s: float) -> None:
        """Take both ends and the duration [s]."""
        self.start, self.goal, self.length_s = start.copy(), goal, length_s
        self.at_s = 0.0

    def step(self, dt: float) -> Array:
        """Advance by ``dt`` seconds and return the point there."""
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

# SPDX-License-Identifier: Apache-2.0
"""The task transfer_cube and its scripted expert: the right hand picks, the left takes over.

Source: scene, start range and reward of gym-aloha's ``transfer_cube`` (Apache-2.0).
"""

from __future__ import annotations

from typing import ClassVar

from cosmos_policy_ros.sim.experts.base import (
    Array,
    CLOSED,
    Expert,
    LEFT,
    Move,
    Noise,
    OPEN,
    RIGHT,
    Scene,
)
from cosmos_policy_ros.sim.tasks import (
    LEFT_FINGER,
    Pairs,
    Piece,
    RIGHT_FINGER,
    TABLE,
    Task,
    touching,
)
import numpy as np


def reward(contacts: Pairs) -> int:
    """Return 1 touched by the right hand, 2 lifted, 3 touched by the left hand, 4 transferred.

    Args:
        contacts: Names of the two geoms of every contact.
    """
    on_table = touching(contacts, ['red_box'], [TABLE])
    if touching(contacts, ['red_box'], [LEFT_FINGER]):
        return 3 if on_table else 4
    if touching(contacts, ['red_box'], [RIGHT_FINGER]):
        return 1 if on_table else 2
    return 0


TASK = Task(
    scene='bimanual_viperx_transfer_cube.xml',
    instruction='hand the red cube from the right gripper to the left',
    pieces=(Piece('box', ('red_box',), low=(0.0, 0.4, 0.05), high=(0.2, 0.6, 0.05)),),
    reward=reward,
    synonyms={'hand': 'pass give transfer move bring deliver take', 'cube': 'block'},
)

MEET_M = np.array([-0.02, 0.5, 0.24])  # where the cube changes hands
WAIT_M = np.array([-0.16, 0.5, 0.24])  # left fingertip before the hand-over
PICK_PITCH = np.deg2rad(60.0)  # right gripper points this far down [rad]
TAKE_ROLL = np.deg2rad(90.0)  # left fingers close from above and below [rad]
SPEED = 1.35  # [rad/s] mean joint speed of a free motion; the limit of the robot is 3.14
SLOW = 0.55  # [rad/s] near the cube
DEEP_M = 0.012  # how far the left fingertips reach past the cube's centre
APPROACH_PUSH = 0.4  # a harder push this close knocks the cube out of the other hand
LIFT_S = 0.5  # [s] until a carried cube must have left the table
EMPTY = 0.45  # a closing gripper below this opening holds nothing; the cube keeps it at 0.6


class TransferExpert(Expert):
    """Reach, grasp and carry with the right arm, take with the left, let go."""

    task = TASK
    phases: ClassVar[tuple[str, ...]] = (
        'reach', 'descend', 'grasp', 'carry', 'approach', 'take', 'give', 'retreat', 'rest',
    )  # fmt: skip

    def __init__(self, sim: Scene, rng: np.random.Generator, noise: Noise) -> None:
        """Take the scene as it stands after a reset.

        Args:
            sim: Scene, already reset.
            rng: Source of the disturbances.
            noise: What goes wrong; ``meet_m`` is how far the left arm stops short of the cube.
        """
        super().__init__(sim, rng, noise)
        self._grasp_error = rng.normal(0.0, 1.0, 2) * noise.grasp_m
        self._take_error = -abs(rng.normal()) * noise.meet_m
        self._aim: Array = MEET_M  # where the approach ends

    @staticmethod
    def draw_noise(rng: np.random.Generator) -> Noise:
        """Return the disturbances of one recorded episode.

        Most episodes are pushed off their course and recover; some reach beside the cube first and
        try again; some do not notice and fail, which is what the value function has to learn.
        """
        kind = rng.random()
        if kind < 0.55:
            return Noise(pushes=2.0)
        if kind < 0.65:
            return Noise(pushes=1.0, grasp_m=0.025)
        if kind < 0.75:
            return Noise(pushes=1.0, meet_m=0.03)
        if kind < 0.9:
            return Noise(pushes=1.0, grasp_m=0.03, retry=False)
        return Noise(pushes=1.0, meet_m=0.03, retry=False)

    @property
    def mistaken(self) -> bool:
        """Whether the right hand grasps beside the cube or the left one stops short of it."""
        late = self.phases.index(self.phase) >= self.phases.index('approach')
        return bool(self._grasp_error.any()) or (late and self._take_error != 0.0)

    @property
    def push_scale(self) -> float:
        """Share of a push: less where the hands meet, none while one grasps or lets go."""
        if self.phase == 'approach':
            return APPROACH_PUSH
        return 1.0 if self.phase in ('reach', 'descend', 'carry') else 0.0

    def pushed_arm(self) -> slice:
        """Return the right arm before it has the cube, then either."""
        return RIGHT if self.phase in ('reach', 'descend') or self.rng.random() < 0.5 else LEFT

    def phase_after_push(self) -> str:
        """Return the first phase before the cube is grasped, else the present one."""
        return 'reach' if self.phase in ('reach', 'descend') else self.phase

    @property
    def tracking(self) -> bool:
        """Whether the goal follows the cube: when a hand comes close to it."""
        return self.phase == 'descend' or (self.phase == 'approach' and not self.lost)

    def plan_move(self) -> Move:
        """Return the motion of the present phase in the joints of both arms."""
        command = self.command
        believed = self.sim.place('box') + np.array([*self._grasp_error, 0.0])
        target = command.copy()
        if self.phase == 'reach':
            target[7:13] = self.point_right(believed + np.array([0.0, 0.0, 0.075]))
            target[0:6] = self.point_left(WAIT_M)
            target[6], target[13] = OPEN, OPEN
            return joint_move(command, target, SPEED)
        if self.phase == 'descend':
            target[7:13] = self.point_right(np.array([*believed[:2], 0.02]))
            return joint_move(command, target, SLOW)
        if self.phase == 'grasp':
            target[13] = CLOSED
            return joint_move(command, target, SPEED, least_s=0.4)
        if self.phase == 'carry':
            target[7:13] = self.point_right(MEET_M)
            target[0:6] = self.point_left(WAIT_M)
            target[6] = OPEN
            return joint_move(command, target, SPEED)
        if self.phase == 'approach':
            cube = MEET_M if self.lost else self.sim.place('box')
            reach_x = DEEP_M + self._take_error
            self._aim = cube + np.array([reach_x, 0.0, 0.0])
            target[0:6] = self.point_left(self._aim)
            return joint_move(command, target, SLOW)
        if self.phase == 'take':
            target[6] = CLOSED
            return joint_move(command, target, SPEED, least_s=0.4)
        if self.phase == 'give':
            target[13] = OPEN
            return joint_move(command, target, SPEED, least_s=0.3)
        if self.phase == 'retreat':
            target[7:13] = self.point_right(MEET_M + np.array([0.12, 0.0, 0.08]))
            return joint_move(command, target, SPEED)
        return joint_move(command, target, SPEED, least_s=10.0)

    def to_joints(self, point: Array) -> Array:
        """Bend the approach of the left hand.

        The fingertips come to the cube's height and depth first and then go straight at it. A
        motion that is straight in the joints is an arc in space, and its end brushes the cube with
        a finger.
        """
        if self.phase == 'approach' and self.move is not None:
            start, along = self.arms[0].tip(self.move.start[0:6]), self.move.along
            part = np.array([along, min(1.0, 2.0 * along), min(1.0, 2.0 * along)])
            self.command = point  # where the inverse kinematics starts
            point[0:6] = self.point_left(start + part * (self._aim - start))
        return point

    def point_left(self, tip: Array) -> Array:
        """Return the (6,) left arm joints that put the rolled fingertips at ``tip`` [m, world]."""
        return self.arms[0].solve(tip, 0.0, TAKE_ROLL, self.command[0:6])

    def point_right(self, tip: Array) -> Array:
        """Return the (6,) right arm joints that put the pitched fingertips at ``tip``."""
        return self.arms[1].solve(tip, PICK_PITCH, 0.0, self.command[7:13])

    @property
    def lost(self) -> bool:
        """Whether the cube lies on the table though a hand should hold it."""
        held = self.phase in ('carry', 'approach', 'take', 'give')
        at_s = self.move.at_s if self.move else 0.0
        lifting = self.phase == 'carry' and at_s < LIFT_S
        return held and not lifting and bool(self.sim.place('box')[2] < 0.05)

    def start_over(self) -> str:
        """Return the first phase; the error of the grasp is over."""
        self._grasp_error = np.zeros(2)
        return 'reach'

    def next_phase(self) -> str:
        """Return the phase that follows, or the one in which a mistake is mended."""
        left, right = self.sim.proprio[[6, 13]]
        if self.noise.retry and self.phase == 'grasp' and right < EMPTY:
            return self.start_over()
        if self.noise.retry and self.phase == 'take' and left < EMPTY:
            self._take_error = 0.0
            return 'carry'
        return self.following_phase()


def joint_move(start: Array, goal: Array, speed: float, least_s: float = 0.12) -> Move:
    """Return a motion as long as its farthest arm joint [rad] needs at a mean speed [rad/s]."""
    far = float(np.abs(goal - start)[np.r_[0:6, 7:13]].max())
    grip_s = 0.25 if (goal != start)[[6, 13]].any() else 0.0
    return Move(start, goal, max(least_s, far / speed, grip_s))

# SPDX-License-Identifier: Apache-2.0
"""The task avoid_post and its scripted expert: the cube is handed over past a post that may fall.

Here there is something to choose. The right hand may come to the cube around the front of the post
or around its back, and from most starts one of the two ways is where the post stands. The expert
draws its way without looking, as somebody with a habit does: a policy that imitates all of its
episodes knows both ways and not when to go which, and what tells them apart is seen soon after the
first decision.

Source: the cube, its reward and the hand-over are those of gym-aloha's ``transfer_cube``
(Apache-2.0). Differs: the post, and a smaller range of the cube, so that no way to grasp it leads
through the post.
"""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.sim.experts.base import Array, Move, Noise, OPEN, RIGHT, Scene
from cosmos_policy_ros.sim.experts.transfer_cube import (
    APPROACH_PUSH,
    joint_move,
    SPEED,
    TASK as TRANSFER,
    TransferExpert,
    WAIT_M,
)
from cosmos_policy_ros.sim.tasks import Block, Piece
import numpy as np

POST_M = 0.14  # height
FRONT, BACK = 0, 1  # the ways
WAYS_M = np.array([[0.17, 0.35, 0.06], [0.17, 0.65, 0.06]])  # right fingertips on the way
PAST_M = 0.12  # fingertips whose x is below this are past the post, whichever way they came

TASK = replace(
    TRANSFER,
    instruction='bring the red cube past the green post to the left gripper',
    pieces=(
        Piece('box', ('red_box',), low=(0.0, 0.47, 0.05), high=(0.06, 0.53, 0.05)),
        Piece(
            'post',
            ('green_post',),
            low=(0.19, 0.37, POST_M / 2),
            high=(0.23, 0.63, POST_M / 2),
            block=Block((0.012, 0.012, POST_M / 2), 0.05, colour=(0.1, 0.7, 0.2)),
            stands_m=POST_M / 2 - 0.02,
        ),
    ),
    synonyms={'bring': 'hand pass give transfer move deliver take', 'cube': 'block'},
)


class AvoidExpert(TransferExpert):
    """Swing around the front or the back of the post, then hand over as ``TransferExpert``.

    Attributes:
        way: ``FRONT`` or ``BACK``, drawn wherever the post stands.
    """

    task = TASK
    phases = ('swing', *TransferExpert.phases)

    def __init__(self, sim: Scene, rng: np.random.Generator, noise: Noise) -> None:
        """Take the scene as it stands after a reset.

        Args:
            sim: Scene, already reset.
            rng: Source of the disturbances and of the way.
            noise: What else goes wrong.
        """
        super().__init__(sim, rng, noise)
        self.way = int(rng.integers(2))

    @property
    def push_scale(self) -> float:
        """Share of a push: less where a harder one would throw the post over."""
        return APPROACH_PUSH if self.phase in ('swing', 'reach') else super().push_scale

    def pushed_arm(self) -> slice:
        """Return the right arm on its way, else that of ``TransferExpert``."""
        return RIGHT if self.phase == 'swing' else super().pushed_arm()

    @property
    def arrived(self) -> bool:
        """Whether the phase is over: no way is left to go for a hand that is past the post."""
        if self.phase == 'swing' and self.arms[1].tip(self.command[7:13])[0] < PAST_M:
            return True
        return super().arrived

    def plan_move(self) -> Move:
        """Return the motion of the present phase in the joints of both arms."""
        if self.phase != 'swing':
            return super().plan_move()
        target: Array = self.command.copy()
        target[7:13] = self.point_right(WAYS_M[self.way])
        target[0:6] = self.point_left(WAIT_M)
        target[6] = OPEN
        return joint_move(self.command, target, SPEED)

# SPDX-License-Identifier: Apache-2.0
"""The simulated tasks: which scene, what is said to the policy, where things start, what is done.

Source: scene files, start ranges and reward rules of the ``gym-aloha`` package (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set as AbstractSet
from dataclasses import dataclass

from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pairs = AbstractSet[frozenset[str]]  # names of the two geoms of every contact
Point = tuple[float, float, float]

TABLE = 'table'
LEFT_FINGER = 'vx300s_left/10_left_gripper_finger'  # gym-aloha counts one finger of each hand
RIGHT_FINGER = 'vx300s_right/10_right_gripper_finger'


@dataclass(frozen=True)
class Piece:
    """Something that lies on the table.

    Attributes:
        body: Name of its MuJoCo body, which has a free joint.
        geoms: Names of the geoms that it touches the table with.
        low: Lowest start position [m, world].
        high: Highest start position [m, world].
    """

    body: str
    geoms: tuple[str, ...]
    low: Point
    high: Point


@dataclass(frozen=True)
class Task:
    """One simulated task.

    Attributes:
        scene: MJCF file among the assets of gym-aloha.
        instruction: What the policy is told.
        pieces: What lies on the table, in the order of the state and of the drawing.
        reward: gym-aloha's reward of a set of contacts, 0 to 4.
        hardness: Share of what ``states`` does to a hard start; an insertion bears less.
        joined_m: Largest distance of the centres of two pieces that were joined and still are.
    """

    scene: str
    instruction: str
    pieces: tuple[Piece, ...]
    reward: Callable[[Pairs], int]
    hardness: float = 1.0
    joined_m: float = 0.0

    def success(self, pairs: Pairs, was_full: bool, *places: Array) -> bool:
        """Whether the reward is full, or was and the pieces are still joined, off the table.

        A peg in its socket comes off the pin by a millimetre whenever a hand moves.

        Args:
            pairs: Contacts.
            was_full: Whether the reward was full at any time.
            places: (3,) centre of every piece [m].
        """
        joined = was_full and np.linalg.norm(places[0] - places[-1]) < self.joined_m
        lying = any(touching(pairs, piece.geoms, [TABLE]) for piece in self.pieces)
        return bool(joined or self.reward(pairs) == 4) and not lying


def touching(pairs: Pairs, some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether one of some geoms touches one of the others."""
    others = tuple(others)
    return any(frozenset((a, b)) in pairs for a in some for b in others)


def find_task(name: str) -> Task:
    """Return a task by its name.

    Raises:
        ConfigError: There is no such task.
    """
    if name not in SCENES:
        msg = f'no simulated task {name!r}; this simulator has {sorted(SCENES)}'
        raise ConfigError(msg)
    return SCENES[name]


def _transfer_reward(pairs: Pairs) -> int:
    """1 right hand touches, 2 lifted, 3 left hand touches, 4 transferred."""
    on_table = touching(pairs, ['red_box'], [TABLE])
    if touching(pairs, ['red_box'], [LEFT_FINGER]):
        return 3 if on_table else 4
    if touching(pairs, ['red_box'], [RIGHT_FINGER]):
        return 1 if on_table else 2
    return 0


_PEG, _WALLS = ('red_peg',), ('socket-1', 'socket-2', 'socket-3', 'socket-4')


def _insertion_reward(pairs: Pairs) -> int:
    """1 both hands touch, 2 both pieces lifted, 3 peg at the socket, 4 the pin inside touched."""
    if touching(pairs, _PEG, ['pin']):
        return 4
    on_table = touching(pairs, (*_PEG, *_WALLS), [TABLE])
    if touching(pairs, _PEG, _WALLS) and not on_table:
        return 3
    if touching(pairs, _PEG, [RIGHT_FINGER]) and touching(pairs, _WALLS, [LEFT_FINGER]):
        return 1 if on_table else 2
    return 0


SCENES = {
    'transfer_cube': Task(
        'bimanual_viperx_transfer_cube.xml',
        'hand the red cube from the right gripper to the left',
        (Piece('box', ('red_box',), (0.0, 0.4, 0.05), (0.2, 0.6, 0.05)),),
        _transfer_reward,
    ),
    'insert_peg': Task(
        'bimanual_viperx_insertion.xml',
        'insert the red peg into the blue socket',
        (
            Piece('peg', _PEG, (0.1, 0.4, 0.05), (0.2, 0.6, 0.05)),
            Piece('socket', _WALLS, (-0.2, 0.4, 0.05), (-0.1, 0.6, 0.05)),
        ),
        _insertion_reward,
        hardness=0.3,
        joined_m=0.115,  # the peg touches the pin at 0.1 and leaves the socket at 0.12
    ),
}
TASKS = {name: task.instruction for name, task in SCENES.items()}

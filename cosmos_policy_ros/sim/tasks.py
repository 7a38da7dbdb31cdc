# SPDX-License-Identifier: Apache-2.0
"""What a simulated task is: scene, instruction, pieces with start ranges, reward and success.

The tasks themselves are rows of ``experts.table``, one file each beside their scripted expert.

Source: scene files, start ranges and reward rules of the ``gym-aloha`` package (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pairs = AbstractSet[frozenset[str]]  # names of the two geoms of every contact
Point = tuple[float, float, float]

EPISODE_S = 8.0  # [s] gym-aloha's 400 steps at 50 Hz
UNSEEN_SEED = 100000  # of the first scene that no training has used
CONTROL_HZ = 50.0  # ticks of an action
TABLE = 'table'
LEFT_FINGER = 'vx300s_left/10_left_gripper_finger'  # gym-aloha counts one finger of each hand
RIGHT_FINGER = 'vx300s_right/10_right_gripper_finger'


@dataclass(frozen=True)
class Block:
    """A box that a task adds to the scene file.

    Attributes:
        half_m: Half of its length along each axis [m].
        mass_kg: Its mass, evenly spread [kg].
        colour: RGB, 0 to 1.
    """

    half_m: Point
    mass_kg: float
    colour: Point


@dataclass(frozen=True)
class Piece:
    """Something that lies or stands on the table.

    Attributes:
        body: Name of its MuJoCo body, which has a free joint.
        geoms: Names of the geoms that it touches the table with.
        low: Lowest start position [m, world].
        high: Highest start position [m, world].
        block: What it is, where the scene file does not have it; it has one geom then.
        stands_m: Lowest height of the centre of a piece that has to be left standing [m]; 0 for
            one that has to be off the table in the end.
    """

    body: str
    geoms: tuple[str, ...]
    low: Point
    high: Point
    block: Block | None = None
    stands_m: float = 0.0


@dataclass(frozen=True)
class Task:
    """One simulated task.

    Attributes:
        scene: MJCF file among the assets of gym-aloha.
        instruction: Instruction given to the policy.
        pieces: What lies or stands on the table, in the order of the state and of the drawing.
        reward: gym-aloha's reward of a set of contacts, 0 to 4.
        synonyms: Word of the instruction -> words that may stand for it, separated by spaces.
        hardness: Share of what ``states`` does to a hard start, above 0; an insertion bears less
            than the 1.0 that is usual.
        joined_m: Largest distance of the centres of the first and the last piece at which pieces
            that were joined still are [m]; 0 for a task that joins nothing.
    """

    scene: str
    instruction: str
    pieces: tuple[Piece, ...]
    reward: Callable[[Pairs], int]
    synonyms: Mapping[str, str] = field(default_factory=dict)
    hardness: float = 1.0
    joined_m: float = 0.0

    def __post_init__(self) -> None:
        """Check the hardness, without which no start would be a hard one.

        Raises:
            ValueError: It is not above 0.
        """
        if not self.hardness > 0.0:
            msg = f'the hardness of a task must be above 0, got {self.hardness}'
            raise ValueError(msg)

    def success(self, pairs: Pairs, was_full: bool, *places: Array) -> bool:
        """Whether the reward is full, or was and the pieces are still joined, off the table.

        What has to be left standing must not have fallen. A peg in its socket comes off the pin by
        a millimetre whenever a hand moves.

        Args:
            pairs: Contacts.
            was_full: Whether the reward was full at any time.
            places: (3,) centre of every piece [m].
        """
        joined = was_full and np.linalg.norm(places[0] - places[-1]) < self.joined_m
        moved = [piece for piece in self.pieces if not piece.stands_m]
        lying = any(touching(pairs, piece.geoms, [TABLE]) for piece in moved)
        heights = zip(self.pieces, places, strict=True)
        fallen = any(place[2] < piece.stands_m for piece, place in heights)
        return bool(joined or self.reward(pairs) == 4) and not lying and not fallen


def touching(pairs: Pairs, some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether one of some geoms touches one of the others."""
    others = tuple(others)
    return any(frozenset((a, b)) in pairs for a in some for b in others)

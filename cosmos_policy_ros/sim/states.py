# SPDX-License-Identifier: Apache-2.0
"""Where an episode starts: as in training, or somewhere a policy has never been.

A hard state puts the pieces beside the range of training, turned, in other colours, shifts and
turns the cameras a little, and pushes one piece once in the first seconds, none that has to be
left standing; a task's hardness is the share of all that. The scripted experts, which get the true
poses, still solve most of them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import get_args, Literal

from cosmos_policy_ros.sim.tasks import Task
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
States = Literal['normal', 'hard']
Ingredient = Literal['place', 'turn', 'looks', 'push']  # of a hard start

COLOURS = (  # RGB; what the red and blue of training are mixed with
    (0.1, 0.7, 0.2), (0.95, 0.8, 0.1), (0.6, 0.2, 0.7), (0.1, 0.7, 0.75), (0.9, 0.9, 0.9),
)  # fmt: skip
MARGIN_M = (0.02, 0.025, 0.0)  # how far beside the range of training
YAW_RAD = 0.4  # largest turn about the vertical
MIX = (0.05, 0.2)  # share of the other colour; a piece stays what the instruction calls it
CAMERA_M = {'high': 0.003, 'left_wrist': 0.001, 'right_wrist': 0.001}  # standard deviation
CAMERA_RAD = {'high': 0.007, 'left_wrist': 0.004, 'right_wrist': 0.004}  # standard deviation
PUSH_AT_S = (0.3, 1.6)  # while the hands reach for the pieces
PUSH_M_S = (0.5, 0.9)  # the cube slides 1 to 4 cm


@dataclass(frozen=True)
class Push:
    """One push of one piece, unless a hand touches it at that time.

    Attributes:
        body: Name of the piece.
        at_s: Time since the reset [s].
        velocity: (2,) what it adds along the table [m/s, world].
    """

    body: str
    at_s: float
    velocity: Array


@dataclass(frozen=True)
class Start:
    """Start state of one episode, as far as it differs from the usual.

    Attributes:
        places: Start position of every piece, (3,) [m, world], by name.
        yaws: Its turn about the vertical [rad], by name.
        colours: (4,) RGB, 0 to 1, and its share in the new colour of a piece, by name.
        shifts: (3,) how far a camera is moved [m, in its parent body], by name.
        turns: (3,) how far it is turned about these axes [rad], by name.
        push: The push, or None.
    """

    places: dict[str, Array]
    yaws: dict[str, float]
    colours: dict[str, Array]
    shifts: dict[str, Array]
    turns: dict[str, Array]
    push: Push | None = None


def check_states(states: str, without: Collection[str] = ()) -> None:
    """Refuse start states or ingredients of them that this simulator does not have.

    Args:
        states: One of ``States``.
        without: Some of ``Ingredient``.

    Raises:
        ConfigError: There are no such states or ingredients; the known ones are named.
    """
    if states not in get_args(States):
        msg = f'no start states {states!r}; there are {list(get_args(States))}'
        raise ConfigError(msg)
    if not set(without) <= set(get_args(Ingredient)):
        msg = f'hard states have no {list(without)}; there are {list(get_args(Ingredient))}'
        raise ConfigError(msg)


def draw_start(
    task: Task, seed: int, states: States, without: Collection[Ingredient] = ()
) -> Start:
    """Return the start that a seed stands for.

    Args:
        task: What lies on the table.
        seed: Seed of everything in it.
        states: Whether it is one like in training or a hard one.
        without: Ingredients of a hard one that are as in training; the others stay as they are.

    Raises:
        ConfigError: See ``check_states``.
    """
    check_states(states, without)
    rng = np.random.RandomState(seed)  # gym-aloha's
    places = {piece.body: rng.uniform(piece.low, piece.high) for piece in task.pieces}
    usual = Start(places, dict.fromkeys(places, 0.0), {}, {}, {})
    if states == 'normal':
        return usual
    hard = _draw_hard(task, np.random.default_rng([seed, 1]))
    fields = {
        'place': ('places',),
        'turn': ('yaws',),
        'looks': ('colours', 'shifts', 'turns'),
        'push': ('push',),
    }
    return replace(hard, **{name: getattr(usual, name) for i in without for name in fields[i]})


def _draw_hard(task: Task, rng: np.random.Generator) -> Start:
    """Return a hard start."""
    places, yaws, colours, share = {}, {}, {}, task.hardness
    others = rng.permutation(len(COLOURS))
    for i, piece in enumerate(task.pieces):
        low, high = np.array(piece.low), np.array(piece.high)
        margin = share * np.array(MARGIN_M)
        place = rng.uniform(low - margin, high + margin)
        while ((low <= place) & (place <= high)).all():
            place = rng.uniform(low - margin, high + margin)
        places[piece.body] = place
        yaws[piece.body] = float(rng.uniform(-1.0, 1.0) * share * YAW_RAD)
        colours[piece.body] = np.array([*COLOURS[others[i]], share * rng.uniform(*MIX)])
    shifts = {camera: share * rng.normal(0.0, m, 3) for camera, m in CAMERA_M.items()}
    turns = {camera: share * rng.normal(0.0, rad, 3) for camera, rad in CAMERA_RAD.items()}
    pushed = [piece for piece in task.pieces if not piece.stands_m]
    piece = pushed[rng.integers(len(pushed))]
    inwards = (np.array(piece.low) + piece.high)[:2] / 2.0 - places[piece.body][:2]
    heading = np.arctan2(inwards[1], inwards[0]) + rng.uniform(-1.5, 1.5)  # it must stay in reach
    velocity = share * rng.uniform(*PUSH_M_S) * np.array([np.cos(heading), np.sin(heading)])
    push = Push(piece.body, float(rng.uniform(*PUSH_AT_S)), velocity)
    return Start(places, yaws, colours, shifts, turns, push)

# SPDX-License-Identifier: Apache-2.0
"""A script that puts one thing into another, with the hand of a robosuite environment.

An action is a displacement of the hand, so the script is a controller: every row goes a share of
the way that is left. It is a function of what can be observed (the hand, its fingers, the thing),
not of a clock: pushed off its course, or when the thing is not in the hand any more, it goes on
from where it is. That is what a policy can imitate.

Source: the operational space controller of robosuite 1.4 (stiffness 150, critically damped): an
action of 1 asks for 0.05 m or 0.5 rad from where the hand is, and comes to ``FULL_M_S`` or
``FULL_RAD_S``.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FULL_M_S, FULL_RAD_S = 0.306, 3.06  # of the hand at an action of 1
GAIN_PER_S = 5.0  # share of the way that is left, a second; at 10 Hz half of it a row
OPEN, CLOSED = -1.0, 1.0
TRAVEL_M = 0.2  # of the hand over what the thing stands on; LIBERO's tallest is 0.15 high
DEEP_M = 0.025  # of the grasp below the top of the thing; the palm is 0.03 above the grasp
FLOOR_M = 0.013  # of the hand over what the thing stands on; the fingertips reach 0.011 below it
RIM_M = 0.04  # between the rim of the goal and what is carried over it
INSIDE_M = 0.04  # below the rim, where the thing is let go: dropped from above, it may bounce out
BESIDE_M, DOWN_M = 0.012, 0.003  # at which a way counts as gone, sideways and down to a grasp
ASTRAY_M = 0.05  # sideways, within which the hand comes down; farther out it goes up again
LOW_M = 0.03  # by which the hand is too low to go on sideways
LOST_M = 0.03  # by which the thing moves in a hand that has lost it
OPENED_M = 0.06  # between the fingers, before which they would come down on the thing
GRASP_S, STILL_M = 0.4, 0.001  # closed so long, fingers that move less in a row hold something
SLOWEST_S = {'lower': 3.0, 'grasp': 1.0, 'place': 2.0}  # after which a phase is over anyhow
RELEASE_S = 1.5  # until which a thing that was let go has to be in its goal
HOLDING = ('grasp', 'lift', 'carry', 'place')
PUSHED = ('reach', 'lift', 'carry')  # where a push does not break a grasp
PUSHES_PER_S, PUSH_S = 0.4, (0.2, 0.5)
PUSH_ACTION = (0.5, 0.5, 0.5, 0.12, 0.12, 0.12)  # standard deviation of the numbers of a push
UNDISTURBED = 0.25  # share of the episodes without any


class Scene(Protocol):
    """What the script needs of a simulator; ``sim.robosuite.RobosuiteSim`` has it."""

    @property
    def proprio(self) -> NDArray[np.float32]:
        """(9,) float32 fingers [m], place of the hand [m, world] and its quaternion x, y, z, w."""

    @property
    def success(self) -> bool:
        """Whether the task is done now."""

    def box(self, name: str) -> Array:
        """Return (2, 3) the lowest and the highest corner of an object [m, world]."""


class PickAndPlace:
    """Reach over the thing, lower, grasp, lift, carry it over its goal, place it, let go.

    The hand comes down in a cone over the thing, the lower the nearer it is sideways: where a
    policy is a little off, there is still a way down that brings it to the grasp.

    Attributes:
        phase: Name of the present phase: those above, and ``rest`` once the task is done.
        expert: Whether the last row is one to imitate, and no push.
        rested_s: Time since the task was done [s].
    """

    def __init__(
        self,
        sim: Scene,
        thing: str,
        goal: str,
        rng: np.random.Generator,
        row_s: float,
        disturbed: bool = True,
    ) -> None:
        """Take the scene as it stands.

        Args:
            sim: Scene, already reset.
            thing: Name of what is put away; it fits between the fingers as the hand stands now.
            goal: Name of what it is put into, open above.
            rng: Source of the pushes.
            row_s: How long a row is played [s].
            disturbed: Whether most episodes have pushes.
        """
        self.sim, self.thing, self.goal, self.rng, self.row_s = sim, thing, goal, rng, row_s
        self.phase, self.expert, self.rested_s = 'reach', True, 0.0
        self._phase_s = 0.0  # since the phase began
        self._upright = sim.proprio[5:].astype(np.float64)
        self._opening = _opening(sim)
        self._grasped: Array = np.zeros(3)  # the thing from the hand
        is_calm = not disturbed or rng.random() < UNDISTURBED
        self._pushes_per_s = 0.0 if is_calm else PUSHES_PER_S
        self._push, self._push_rows = np.zeros(6), 0

    def action(self) -> NDArray[np.float32]:
        """Return (7,) float32, the next row."""
        hand = self.sim.proprio[2:5].astype(np.float64)
        thing, goal = self.sim.box(self.thing), self.sim.box(self.goal)
        before, self.phase = self.phase, self._next_phase(hand, thing, goal)
        self._phase_s = 0.0 if self.phase != before else self._phase_s + self.row_s
        self.rested_s += self.row_s * (self.phase == 'rest')
        self._opening = _opening(self.sim)
        self._draw_push()
        self.expert = not self._push_rows
        moved = self._steer(hand, thing, goal) if self.expert else self._push
        gripper = CLOSED if self.phase in HOLDING else OPEN
        return np.array([*moved, gripper], dtype=np.float32)

    def _next_phase(self, hand: Array, thing: Array, goal: Array) -> str:
        """Return the phase that the scene is in now, given the last one."""
        if self.sim.success:
            return 'rest'
        centre, phase = thing.mean(axis=0), self.phase
        beside = float(np.linalg.norm((hand - centre)[:2]))
        is_late = self._phase_s >= SLOWEST_S.get(phase, np.inf)
        if phase == 'reach' and beside < ASTRAY_M and hand[2] > _cone(hand, thing) - LOW_M:
            return 'lower'
        if phase == 'lower':
            if beside > ASTRAY_M:
                return 'reach'
            is_there = beside < BESIDE_M and abs(_at(thing)[2] - hand[2]) < DOWN_M
            return 'grasp' if is_late or is_there else phase
        if phase == 'grasp':
            is_still = abs(_opening(self.sim) - self._opening) < STILL_M
            self._grasped = centre - hand
            return 'lift' if is_late or (self._phase_s >= GRASP_S and is_still) else phase
        if phase in ('lift', 'carry', 'place'):
            if np.linalg.norm(centre - hand - self._grasped) > LOST_M:
                return 'reach'
            if phase == 'place':
                is_in = thing[0, 2] - _inside(thing, goal) < DOWN_M
                return 'release' if is_late or is_in else phase
            left = _clear(hand, thing, goal) - hand[2]
            if left > LOW_M:
                return phase
            off = np.linalg.norm((goal.mean(axis=0) - centre)[:2])
            return 'place' if off < BESIDE_M else 'carry'
        return 'reach' if phase == 'release' and self._phase_s >= RELEASE_S else phase

    def _steer(self, hand: Array, thing: Array, goal: Array) -> Array:
        """Return (6,) the displacement of a row that goes a share of the way that is left."""
        wanted, centre = hand.copy(), thing.mean(axis=0)
        if self.phase in ('reach', 'lower'):
            wanted[2] = _cone(hand, thing)
            if hand[2] > wanted[2] - LOW_M:  # else up first, past what stands around
                wanted[:2] = centre[:2]
            if self._opening < OPENED_M:
                wanted[2] = max(wanted[2], hand[2])
        elif self.phase == 'lift':
            wanted[2] = _clear(hand, thing, goal)
        elif self.phase in ('carry', 'place'):
            wanted[:2] += (goal.mean(axis=0) - centre)[:2]
            if self.phase == 'carry':
                wanted[2] = _clear(hand, thing, goal)
            else:
                wanted[2] += _inside(thing, goal) - thing[0, 2]
        else:  # closed, opened or done: where it is
            return np.zeros(6)
        turn = rotation_between(self.sim.proprio[5:].astype(np.float64), self._upright)
        row = GAIN_PER_S * np.concatenate([(wanted - hand) / FULL_M_S, turn / FULL_RAD_S])
        return np.asarray(row / max(1.0, float(np.abs(row).max())))

    def _draw_push(self) -> None:
        """Go on with a push, end it where it would break a grasp, or begin one now and then."""
        self._push_rows = max(0, self._push_rows - 1) if self.phase in PUSHED else 0
        begins = self.rng.random() < self._pushes_per_s * self.row_s
        if begins and not self._push_rows and self.phase in PUSHED:
            self._push_rows = max(1, round(self.rng.uniform(*PUSH_S) / self.row_s))
            self._push = self.rng.normal(0.0, PUSH_ACTION).clip(-1.0, 1.0)


def rotation_between(now: Array, wanted: Array) -> Array:
    """Return the (3,) rotation that turns one orientation into a near one [rad, world].

    Args:
        now: (4,) quaternion x, y, z, w.
        wanted: The same.
    """
    (a, u), (b, v) = (wanted[3], wanted[:3]), (now[3], now[:3])
    scalar, vector = a * b + u @ v, b * u - a * v - np.cross(u, v)
    return np.asarray(2.0 * vector * (1.0 if scalar >= 0.0 else -1.0))


def _opening(sim: Scene) -> float:
    """Return how far the fingers are apart [m]."""
    return float(abs(sim.proprio[0] - sim.proprio[1]))


def _cone(hand: Array, thing: Array) -> float:
    """Return how high the hand is wanted where it is: the lower the nearer to the thing [m]."""
    beside = float(np.linalg.norm((hand - thing.mean(axis=0))[:2]))
    share = np.clip((beside - BESIDE_M) / (ASTRAY_M - BESIDE_M), 0.0, 1.0)
    grasp, travel = _at(thing)[2], thing[0, 2] + TRAVEL_M
    return float(grasp + share * (travel - grasp))


def _at(thing: Array) -> Array:
    """Return the (3,) place of the hand where it grasps a thing: as deep as palm and floor let."""
    place = thing.mean(axis=0)
    place[2] = max(thing[1, 2] - DEEP_M, thing[0, 2] + FLOOR_M)
    return place


def _inside(thing: Array, goal: Array) -> float:
    """Return the height of the foot of a thing where it is let go in the goal [m, world]."""
    return float(max(goal[0, 2] + RIM_M / 2, goal[1, 2] - INSIDE_M))


def _clear(hand: Array, thing: Array, goal: Array) -> float:
    """Return the height of the hand at which what it holds passes the rim of the goal [m]."""
    hangs = max(0.0, float(hand[2] - thing[0, 2]))
    return float(goal[1, 2]) + RIM_M + hangs

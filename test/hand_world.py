# SPDX-License-Identifier: Apache-2.0
"""A hand, a cup and a basket in a few numbers, in the place of a simulator with physics.

The hand comes as far as that of LIBERO does. What is between the fingers when they close is held;
what is let go falls straight down.
"""

from __future__ import annotations

from typing import Any

from cosmos_policy_ros.sim.experts.pick_and_place import FULL_M_S, FULL_RAD_S
import numpy as np

STEP_S = 0.05
OPEN_M, WIDE_M = 0.08, 0.05  # between the fingers, and of the cup
DOWN = np.array([1.0, 0.0, 0.0, 0.0])  # quaternion x, y, z, w of a hand that points down
BASKET = np.array([[-0.07, 0.19, 0.0], [0.07, 0.33, 0.15]])


class HandWorld:
    """A simulator with the members of ``sim.simulator.Simulator``, and ``box``.

    Attributes:
        task: The instruction.
        hand: (3,) its place [m].
        lowest_m: How low it ever was [m].
        fell_m: How far the cup fell when it was last let go [m].
        played: The rows.
    """

    task = 'put the cup into the basket'

    def __init__(self, tall_m: float = 0.1, slips: int = 0) -> None:
        """Begin.

        Args:
            tall_m: Height of the cup [m].
            slips: How often the cup falls out of the hand on its way up.
        """
        self.tall_m, self.slips = tall_m, slips
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Put hand and cup where they begin."""
        rng = np.random.default_rng(seed)
        self.hand, self.turn = np.array([-0.1, 0.0, 0.27]), DOWN.copy()
        self.cup = rng.uniform([-0.13, -0.25, 0.0], [-0.11, -0.23, 0.0])  # its foot
        self.opening, self.held = OPEN_M, False
        self.lowest_m, self.slipped, self.fell_m = np.inf, 0, 0.0
        self.played: list[list[float]] = []

    @property
    def proprio(self) -> np.ndarray:
        """(9,) float32 as of ``RobosuiteSim``."""
        fingers = [self.opening / 2, -self.opening / 2]
        return np.array([*fingers, *self.hand, *self.turn], np.float32)

    @property
    def success(self) -> bool:
        """Whether the cup lies in the basket."""
        off = np.abs(self.cup - BASKET.mean(axis=0))[:2]
        return bool(not self.held and (off < 0.06).all() and self.cup[2] < 0.05)

    def box(self, name: str) -> np.ndarray:
        """Return (2, 3) corners of the cup or the basket."""
        if name == 'basket':
            return BASKET.copy()
        half = np.array([WIDE_M / 2, WIDE_M / 2, 0.0])
        return np.stack([self.cup - half, self.cup + half + [0.0, 0.0, self.tall_m]])

    def render(self, camera: str) -> np.ndarray:
        """Return (16, 16, 3) uint8: a bright column for the hand, a red row for the cup."""
        image = np.full((16, 16, 3), 40 if camera == 'wrist' else 80, np.uint8)
        image[:, int(16 * np.clip(self.hand[1] + 0.5, 0, 0.99))] = 255 - int(200 * self.hand[2])
        image[int(16 * np.clip(self.cup[1] + 0.5, 0, 0.99))] = (200, 30, 30)
        return image

    def step(self, action: np.ndarray) -> None:
        """Move for a twentieth of a second."""
        self.played.append([float(number) for number in action])
        moved = FULL_M_S * STEP_S * action[:3].astype(np.float64)
        self.hand = self.hand + moved
        self.turn = _turned(self.turn, FULL_RAD_S * STEP_S * action[3:6].astype(np.float64))
        self.lowest_m = min(self.lowest_m, float(self.hand[2]))
        self._grip(closing=action[6] > 0)
        if self.held:
            self.cup = self.cup + moved
        if self.held and self.slipped < self.slips and self.hand[2] > 0.17:
            self.held, self.slipped = False, self.slipped + 1
        if not self.held and self.cup[2] > 0.0:
            self.fell_m, self.cup[2] = float(self.cup[2]), 0.0

    def close(self) -> None:
        """Do nothing."""

    def _grip(self, closing: bool) -> None:
        wanted = self.opening + (-0.02 if closing else 0.02)
        beside = np.linalg.norm((self.hand - self.cup)[:2])
        between = beside < 0.02 and self.cup[2] < self.hand[2] < self.cup[2] + self.tall_m
        self.held = closing and (self.held or (between and wanted <= WIDE_M < self.opening))
        self.opening = WIDE_M if self.held else float(np.clip(wanted, 0.0, OPEN_M))


def _turned(turn: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return a quaternion x, y, z, w that is turned by a rotation in the world [rad]."""
    angle = float(np.linalg.norm(by))
    vector = np.sinc(angle / 2 / np.pi) * by / 2
    scalar, (v, w) = np.cos(angle / 2), (turn[:3], turn[3])
    product: Any = [*(scalar * v + w * vector + np.cross(vector, v)), scalar * w - vector @ v]
    return np.asarray(product)

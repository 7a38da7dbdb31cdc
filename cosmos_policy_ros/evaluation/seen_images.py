# SPDX-License-Identifier: Apache-2.0
"""Which image of each camera a query sees: as old as images are in the running stack.

There an image is drawn or exposed, copied and sent before a query can hold it; the simulator of an
evaluation stands still meanwhile. So the newest images are kept, and a query gets those whose age
is nearest to one that was measured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
import math

from cosmos_policy_ros.robot import RobotSpec
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class SeenImages:
    """The newest images of every camera."""

    def __init__(self, robot: RobotSpec, ages_s: Sequence[float], seed: int) -> None:
        """Start without an image.

        Args:
            robot: Cameras and their rates.
            ages_s: Ages of an image at a query [s], one of which is drawn for every camera and
                query; empty takes the newest images.
            seed: Seed of the draws.
        """
        self._ages_s = ages_s
        self._rng = np.random.default_rng([seed, 2])
        oldest_s = max(ages_s, default=0.0)
        self._images: dict[str, deque[tuple[int, Image]]] = {
            c.name: deque(maxlen=2 + math.ceil(oldest_s * c.rate_hz)) for c in robot.cameras
        }

    def add(self, images: Mapping[str, Image], now_ns: int) -> None:
        """Keep new images.

        Args:
            images: Camera -> (height, width, 3) uint8 RGB, of those that took one now.
            now_ns: Time now [ns].
        """
        for camera, image in images.items():
            self._images[camera].append((now_ns, image))

    def at(self, now_ns: int) -> dict[str, Image]:
        """Return camera -> the (height, width, 3) uint8 RGB image that a query now sees.

        Args:
            now_ns: Time now [ns]; every camera has taken an image before.
        """
        if not self._ages_s:
            return {camera: taken[-1][1] for camera, taken in self._images.items()}
        seen = {}
        for camera, taken in self._images.items():
            wanted_ns = now_ns - round(float(self._rng.choice(self._ages_s)) * 1e9)
            seen[camera] = min(taken, key=lambda image: abs(image[0] - wanted_ns))[1]
        return seen

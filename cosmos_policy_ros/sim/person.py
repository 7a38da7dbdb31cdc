# SPDX-License-Identifier: Apache-2.0
"""A scripted person who watches a policy, takes over where it gets no farther, and mends it.

The person looks at how far the task got, as somebody beside the robot does, and leads by the
expert of the task, which plans from what it finds. Leaders that follow are where the arms are, so
the person begins at the commanded pose.
"""

from __future__ import annotations

from cosmos_policy_ros.sim.experts.base import Expert, Noise, REST_S, Scene
from cosmos_policy_ros.sim.experts.table import make_expert
import numpy as np
from numpy.typing import NDArray

PATIENCE_S = 3.0  # [s] in which the task must get farther; a policy that succeeds needs 2.4
LOST_S = 0.5  # [s] of a worse state until it counts as one: a touch may flicker
MENDS_S = 10.0  # [s] that mending may take; an expert needs 5 from the start


class Person:
    """Watches one episode, and leads from taking over to its end."""

    def __init__(self, scene: Scene, seed: int) -> None:
        """Watch a scene from its reset on.

        Args:
            scene: The scene.
            seed: Seed of the expert.
        """
        self._scene, self._rng = scene, np.random.default_rng([seed, 7])
        self._best, self._best_s, self._worse_s = 0, 0.0, float('inf')
        self._expert: Expert | None = None

    @property
    def leads(self) -> bool:
        """Whether the person has taken over."""
        return self._expert is not None

    @property
    def is_done(self) -> bool:
        """Whether the task has been done for a while under the person's hands."""
        return self._expert is not None and self._expert.rested_s > REST_S

    def wants(self, now_s: float) -> bool:
        """Whether to take over now: no farther for a while, or back behind what was reached.

        Args:
            now_s: Time since the reset [s].
        """
        reward = self._scene.reward
        if reward > self._best:
            self._best, self._best_s = reward, now_s
        self._worse_s = min(self._worse_s, now_s) if reward < self._best else float('inf')
        stuck = self._best < 4 and now_s - self._best_s > PATIENCE_S
        return stuck or now_s - self._worse_s > LOST_S

    def take_over(self, pose: NDArray[np.float32]) -> None:
        """Begin to lead.

        Args:
            pose: (14,) where the leaders are: what the arms are commanded [rad; gripper 0..1].
        """
        self._expert = make_expert(self._scene, self._rng, Noise())
        self._expert.command = pose.astype(np.float64)

    def lead(self) -> NDArray[np.float32]:
        """Return where the person's hands are in this tick, (14,) [rad; gripper 0..1]."""
        assert self._expert is not None
        return self._expert.action()

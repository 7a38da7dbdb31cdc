# SPDX-License-Identifier: Apache-2.0
"""Which scripted expert does which task."""

from __future__ import annotations

from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.experts.expert import Expert, Noise
from cosmos_policy_ros.sim.experts.insert_peg import InsertExpert
from cosmos_policy_ros.sim.experts.transfer_cube import TransferExpert
import numpy as np

EXPERTS: dict[str, type[Expert]] = {
    'transfer_cube': TransferExpert,
    'insert_peg': InsertExpert,
}


def make_expert(sim: AlohaSim, rng: np.random.Generator, noise: Noise | None = None) -> Expert:
    """Return the expert for the task of a scene.

    Args:
        sim: Scene, already reset.
        rng: Source of the disturbances.
        noise: What goes wrong; by default drawn as for a recorded episode.
    """
    expert = EXPERTS[sim.name]
    return expert(sim, rng, expert.draw_noise(rng) if noise is None else noise)

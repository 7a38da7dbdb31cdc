# SPDX-License-Identifier: Apache-2.0
"""The simulated tasks, one row each: its name, and the scripted expert that knows all about it.

A new task is a file beside this one, with a ``Task`` and an ``Expert`` that does it, and a row.
"""

from __future__ import annotations

from cosmos_policy_ros.sim.experts.avoid_post import AvoidExpert
from cosmos_policy_ros.sim.experts.base import Expert, Noise, Scene
from cosmos_policy_ros.sim.experts.insert_peg import InsertExpert
from cosmos_policy_ros.sim.experts.transfer_cube import TransferExpert
from cosmos_policy_ros.sim.tasks import Task
from cosmos_policy_ros.types import ConfigError
import numpy as np

EXPERTS: dict[str, type[Expert]] = {
    'transfer_cube': TransferExpert,
    'insert_peg': InsertExpert,
    'avoid_post': AvoidExpert,
}
TASKS = {name: expert.task.instruction for name, expert in EXPERTS.items()}  # name -> instruction


def find_task(name: str) -> Task:
    """Return a simulated task by its name.

    Raises:
        ConfigError: There is no such task.
    """
    if name not in EXPERTS:
        msg = f'no simulated task {name!r}; this simulator has {sorted(EXPERTS)}'
        raise ConfigError(msg)
    return EXPERTS[name].task


def make_expert(sim: Scene, rng: np.random.Generator, noise: Noise | None = None) -> Expert:
    """Return the scripted expert for the task of a scene.

    Args:
        sim: Scene, already reset.
        rng: Source of the disturbances.
        noise: What goes wrong; by default drawn as for a recorded episode.
    """
    expert = EXPERTS[sim.name]
    return expert(sim, rng, expert.draw_noise(rng) if noise is None else noise)

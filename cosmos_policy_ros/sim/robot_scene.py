# SPDX-License-Identifier: Apache-2.0
"""The simulated scene as the robot of a robot file, with its cameras."""

from __future__ import annotations

from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim, CAMERAS
from cosmos_policy_ros.types import ConfigError


def load_scene(task: str, robot: RobotSpec) -> AlohaSim:
    """Return the scene of a task with images of the robot's size.

    Args:
        task: Simulated task.
        robot: Robot whose cameras the scene must have.

    Raises:
        ConfigError: The task is unknown, or the cameras are not those of the scene in one size.
    """
    names, sizes = {c.name for c in robot.cameras}, {(c.height, c.width) for c in robot.cameras}
    if not names <= set(CAMERAS) or len(sizes) > 1:
        msg = (
            f'the simulator has the cameras {sorted(CAMERAS)}, all of one size; '
            f'robot {robot.name} has {sorted(names)} of the sizes {sorted(sizes)}'
        )
        raise ConfigError(msg)
    return AlohaSim(task, sizes.pop())

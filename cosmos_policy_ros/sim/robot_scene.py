# SPDX-License-Identifier: Apache-2.0
"""The simulated scene as the robot of a robot file: its cameras, and targets from arm commands."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_policy_ros.robot import ArmSpec, RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim, CAMERAS
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray


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


def arm_targets(arm: ArmSpec, command: Sequence[float]) -> NDArray[np.float64]:
    """Return the targets in a command of one arm.

    Args:
        arm: The arm.
        command: Joints [rad], then the gripper in the unit of its controller.

    Returns:
        (size,) targets [rad; gripper 0..1].

    Raises:
        ValueError: The command has another length or a number is not finite.
    """
    numbers = np.array(command, dtype=np.float64)
    if numbers.shape != (arm.size,) or not np.isfinite(numbers).all():
        msg = f'{arm.command_topic} needs {arm.size} finite numbers, ignored {numbers.tolist()}'
        raise ValueError(msg)
    if arm.gripper is not None:
        numbers[-1] = arm.gripper.opening_of_command(numbers[-1])
    return numbers

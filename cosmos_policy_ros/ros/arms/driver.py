# SPDX-License-Identifier: Apache-2.0
"""What every arm driver has: its topics, and a function that gets commands ready to leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cosmos_policy_ros.robot import ArmSpec
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

Pack = Callable[[NDArray[np.float32]], list[Callable[[], None]]]
"""From (joints + 1,) float32 positions of an arm [rad; gripper 0..1] to the calls that send them.

Building a message takes as long as sending it. So it is built ahead of time, and the calls are
made when the command is due.
"""


class Driver(Protocol):
    """Command interface of one kind of arm, implemented by one module of this folder."""

    def topics(self, arm: ArmSpec) -> tuple[str, ...]:
        """Return the names of the topics on which the arm's commands leave.

        The command executor refuses to start while another node publishes on one of them.
        """

    def open_arm(self, node: Node, arm: ArmSpec, period_s: float) -> Pack:
        """Open the arm's command topics.

        Args:
            node: Node that publishes.
            arm: The arm.
            period_s: Time from one command to the next [s].

        Raises:
            ConfigError: The driver's message package is not installed.
        """


def to_controller_units(arm: ArmSpec, positions: NDArray[np.float32]) -> list[float]:
    """Return an arm's positions in the units of its controller, as plain numbers.

    Args:
        arm: The arm.
        positions: (joints + 1,) float32 arm joints and gripper [rad; gripper 0..1].

    Returns:
        Arm joints [rad], then the gripper [m or rad].
    """
    numbers: list[float] = positions.tolist()
    numbers[-1] = arm.gripper.to_command(numbers[-1])
    return numbers

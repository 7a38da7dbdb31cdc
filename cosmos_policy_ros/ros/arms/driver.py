# SPDX-License-Identifier: Apache-2.0
"""What every driver has: its topics, and a function that gets commands ready to leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.endpoints import ros_class
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

Pack = Callable[[NDArray[np.float32]], list[Callable[[], None]]]
"""From (joints,) float32 positions of an output [rad; gripper 0..1] to the calls that send them.

Building a message takes as long as sending it. So it is built ahead of time, and the calls are
made when the command is due.
"""


class Driver(Protocol):
    """Command interface of one kind of arm or gripper, one module of this folder."""

    def topics(self, output: CommandOutput) -> tuple[str, ...]:
        """Return the names of the topics on which the commands leave; actions have none.

        The command executor refuses to start while another node publishes on one of them.
        """

    def open_output(self, node: Node, output: CommandOutput, period_s: float) -> Pack:
        """Open the topics or the action.

        Args:
            node: Node that publishes.
            output: Joints whose commands leave, and where.
            period_s: Time from one command to the next [s].

        Raises:
            ConfigError: The driver's message package is not installed.
        """


def optional_class(driver: str, name: str, source: str) -> type:
    """Return the class of a message of a package that not everybody has.

    Args:
        driver: Driver that needs it, for the message.
        name: Type, as ``package/msg/Name``.
        source: Where the package comes from, for the message.

    Raises:
        ConfigError: The package is not installed.
    """
    try:
        return ros_class(name)
    except ImportError as error:
        package = name.partition('/')[0]
        msg = (
            f'driver {driver} needs the ROS package {package}, which is not installed; '
            f'build it from {source} and source that workspace'
        )
        raise ConfigError(msg) from error

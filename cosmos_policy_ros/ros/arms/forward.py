# SPDX-License-Identifier: Apache-2.0
"""Driver ``forward``: one ``Float64MultiArray`` per command, applied on arrival.

The controller knows the numbers by their order alone, which must be that of the robot file.

Source: ros2_control's forward_command_controller (topic ``commands``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.arms.driver import Pack
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.topics import ARM_FORWARD_COMMAND
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray


def topics(output: CommandOutput) -> tuple[str, ...]:
    """Return the controller's command topic."""
    return (output.topic,)


def open_output(node: Node, output: CommandOutput, _period_s: float) -> Pack:
    """Open the topic; the numbers of a message are the arm joints, then the gripper."""
    publisher = create_publisher(node, ARM_FORWARD_COMMAND.at(output.topic))

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        message = Float64MultiArray(data=output.to_controller_units(positions))
        return [partial(publisher.publish, message)]

    return pack

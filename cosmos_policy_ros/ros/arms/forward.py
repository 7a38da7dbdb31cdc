# SPDX-License-Identifier: Apache-2.0
"""Driver ``forward``: one ``Float64MultiArray`` per command, applied on arrival.

Source: ros2_control's forward_command_controller (topic ``commands``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cosmos_policy_ros.robot import ArmSpec
from cosmos_policy_ros.ros.arms.driver import Pack, to_controller_units
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.topics import ARM_FORWARD_COMMAND
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray


def topics(arm: ArmSpec) -> tuple[str, ...]:
    """Return the controller's command topic."""
    return (arm.command_topic,)


def open_arm(node: Node, arm: ArmSpec, _period_s: float) -> Pack:
    """Open the topic; the numbers of a message are the arm joints, then the gripper."""
    publisher = create_publisher(node, ARM_FORWARD_COMMAND.at(arm.command_topic))

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        message = Float64MultiArray(data=to_controller_units(arm, positions))
        return [partial(publisher.publish, message)]

    return pack

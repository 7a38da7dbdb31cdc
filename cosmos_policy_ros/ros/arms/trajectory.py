# SPDX-License-Identifier: Apache-2.0
"""Driver ``trajectory``: one ``JointTrajectory`` per command with one point, due a period later.

The controller must own exactly the joints of the output. It must also interpolate from its last
command (``interpolate_from_desired_state``, in Humble ``open_loop_control``): by default each
point starts at the measured pose, which pulls a lagging arm back with every message.

Source: ros2_control's joint_trajectory_controller (topic ``joint_trajectory``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from builtin_interfaces.msg import Duration
from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.arms.driver import Pack
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.topics import ARM_TRAJECTORY_COMMAND
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint


def topics(output: CommandOutput) -> tuple[str, ...]:
    """Return the controller's command topic."""
    return (output.topic,)


def open_output(node: Node, output: CommandOutput, period_s: float) -> Pack:
    """Open the topic; the point is due one period after a message arrives."""
    publisher = create_publisher(node, ARM_TRAJECTORY_COMMAND.at(output.topic))
    names = list(output.joints)
    sec, nanosec = divmod(round(period_s * 1e9), 10**9)

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        point = JointTrajectoryPoint(positions=output.to_controller_units(positions))
        point.time_from_start = Duration(sec=sec, nanosec=nanosec)
        # stamp 0: the controller starts on arrival, whatever its clock shows
        message = JointTrajectory(joint_names=names, points=[point])
        return [partial(publisher.publish, message)]

    return pack

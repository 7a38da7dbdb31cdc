# SPDX-License-Identifier: Apache-2.0
"""Teleoperation: the executor follows leader arms whose drivers run already."""

from cosmos_policy_ros.ros.bringup import describe_stack
from cosmos_policy_ros.stack.node_list import ROBOT_TELEOP_STACK
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Return camera, check and executor; the robot, with leaders, must be named."""
    return describe_stack(ROBOT_TELEOP_STACK, required=('robot',))

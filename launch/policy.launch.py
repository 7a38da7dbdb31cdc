# SPDX-License-Identifier: Apache-2.0
"""The stack on a real robot, whose arm drivers run already."""

from cosmos_policy_ros.ros.bringup import describe_stack
from cosmos_policy_ros.stack.node_list import ROBOT_STACK
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Return camera, check and policy; robot and checkpoint must be named."""
    return describe_stack(ROBOT_STACK, required=('robot', 'checkpoint'))

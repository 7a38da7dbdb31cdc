# SPDX-License-Identifier: Apache-2.0
"""The recorder beside a stack that runs already: ``ros2 launch … record.launch.py out:=data``."""

from cosmos_policy_ros.ros.bringup import describe_stack
from cosmos_policy_ros.stack.node_list import RECORD_STACK
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Return the recorder; robot and folder must be named."""
    return describe_stack(RECORD_STACK, required=('robot', 'out'))

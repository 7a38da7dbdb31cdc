# SPDX-License-Identifier: Apache-2.0
"""The whole stack with the simulated robot: ``ros2 launch cosmos_policy_ros sim.launch.py``."""

from cosmos_policy_ros.ros.bringup import describe_stack
from cosmos_policy_ros.stack.node_list import WATCHED_SIM_STACK
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Return the simulator, inference, planner and executor nodes, and what people look at."""
    return describe_stack(WATCHED_SIM_STACK)

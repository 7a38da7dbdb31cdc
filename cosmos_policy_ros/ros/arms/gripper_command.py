# SPDX-License-Identifier: Apache-2.0
"""Driver ``gripper_command``: goals of ``control_msgs/action/GripperCommand``.

Source: ros2_control's gripper_controllers (action ``gripper_cmd``; Humble and Jazzy).
"""

from __future__ import annotations

from typing import Any

from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.arms.driver import Pack, Watch
from cosmos_policy_ros.ros.arms.goals import action_class, open_goals, watch_server
from cosmos_policy_ros.topics import GRIPPER_COMMAND
from rclpy.node import Node


def topics(_output: CommandOutput) -> tuple[str, ...]:
    """Return nothing: goals are requests."""
    return ()


def open_output(node: Node, output: CommandOutput, _period_s: float) -> Pack:
    """Open the action; a goal is a position and the largest effort.

    Raises:
        ConfigError: ``control_msgs`` is not installed.
    """
    action = action_class('gripper_command', GRIPPER_COMMAND)
    assert output.gripper is not None
    max_effort = output.gripper.max_effort

    def make_goal(position: float) -> Any:
        goal = action.Goal()
        goal.command.position, goal.command.max_effort = position, max_effort
        return goal

    return open_goals(node, output, GRIPPER_COMMAND, make_goal)


def open_watch(node: Node, output: CommandOutput, _period_s: float) -> Watch:
    """Look whether a controller serves the action.

    Raises:
        ConfigError: ``control_msgs`` is not installed.
    """
    action_class('gripper_command', GRIPPER_COMMAND)
    return watch_server(node, GRIPPER_COMMAND.at(output.topic))

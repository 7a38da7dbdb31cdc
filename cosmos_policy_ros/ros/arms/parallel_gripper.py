# SPDX-License-Identifier: Apache-2.0
"""Driver ``parallel_gripper``: goals of ``control_msgs/action/ParallelGripperCommand``.

Source: ros2_control's parallel_gripper_controller (action ``gripper_cmd``; Jazzy and later).
"""

from __future__ import annotations

from typing import Any

from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.arms.driver import Pack, Watch
from cosmos_policy_ros.ros.arms.goals import action_class, open_goals, watch_server
from cosmos_policy_ros.topics import PARALLEL_GRIPPER_COMMAND
from rclpy.node import Node


def topics(_output: CommandOutput) -> tuple[str, ...]:
    """Return nothing: goals are requests."""
    return ()


def open_output(node: Node, output: CommandOutput, _period_s: float) -> Pack:
    """Open the action; a goal is a joint with its position and, if given, the largest effort.

    Raises:
        ConfigError: ``control_msgs`` is not installed.
    """
    action = action_class('parallel_gripper', PARALLEL_GRIPPER_COMMAND)
    assert output.gripper is not None
    max_effort = output.gripper.max_effort

    def make_goal(position: float) -> Any:
        goal = action.Goal()
        goal.command.name, goal.command.position = list(output.joints), [position]
        goal.command.effort = [max_effort] if max_effort else []
        return goal

    return open_goals(node, output, PARALLEL_GRIPPER_COMMAND, make_goal)


def open_watch(node: Node, output: CommandOutput, _period_s: float) -> Watch:
    """Look whether a controller serves the action.

    Raises:
        ConfigError: ``control_msgs`` is not installed.
    """
    action_class('parallel_gripper', PARALLEL_GRIPPER_COMMAND)
    return watch_server(node, PARALLEL_GRIPPER_COMMAND.at(output.topic))

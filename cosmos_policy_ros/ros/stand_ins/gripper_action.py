# SPDX-License-Identifier: Apache-2.0
"""Stand-in for the gripper controllers of ros2_control: one goal at a time, reached or stalled.

A new goal replaces the last one. It ends when the finger is within the goal tolerance, and is
given up where the finger has stood still for a while, as it does on an object; the position stays
commanded. A canceled goal keeps the finger where it is.

Source: ros-controls/ros2_controllers@jazzy gripper_controllers, parallel_gripper_controller
(``*_action_controller_impl.hpp``: ``accepted_callback``, ``cancel_callback``,
``check_for_success``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cosmos_policy_ros.ros.arms.goals import action_class
from cosmos_policy_ros.ros.endpoints import create_action_server, create_timer
from cosmos_policy_ros.ros.stand_ins.joints import SimulatedJoints
from cosmos_policy_ros.topics import Action, GRIPPER_COMMAND, PARALLEL_GRIPPER_COMMAND
import numpy as np
from rclpy.action import CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.task import Future

UPDATE_HZ = 100.0
GOAL_TOLERANCE = 0.01  # [m or rad], as the other constants the controllers' defaults
STALL_SPEED = 0.001  # [m/s or rad/s]
STALL_S = 1.0


@dataclass(frozen=True)
class GripperAction:
    """The stand-in of one of the two actions.

    Attributes:
        driver: Driver that sends the goals.
        action: The action.
        position: Returns the wanted position of a goal, None where it names another joint.
        fill: Writes joint, position and how it ended into a result.
    """

    driver: str
    action: Action
    position: Callable[[Any, str], float | None]
    fill: Callable[[Any, str, float, str], None]

    def serve(self, node: Node, joints: SimulatedJoints) -> Callable[[], None]:
        """Take goals, command the finger and answer; a reset gives the running goal up.

        Raises:
            ConfigError: ``control_msgs`` is not installed.
        """
        kind = action_class(self.driver, self.action)
        joint = joints.output.joints[0]
        running: tuple[Any, float, Future] | None = None  # goal, its position, how it ended
        ended: dict[bytes, Future] = {}  # how every goal ended whose result is not made yet
        moved_s = 0.0

        def now_s() -> float:
            return node.get_clock().now().nanoseconds * 1e-9

        def accept(goal: Any) -> GoalResponse:
            position = self.position(goal, joint)
            good = position is not None and np.isfinite(position)
            return GoalResponse.ACCEPT if good else GoalResponse.REJECT

        def end(outcome: str) -> None:
            nonlocal running
            if running is not None:
                running[2].set_result(outcome)
            running = None

        def begin(goal: Any) -> None:
            nonlocal running, moved_s
            end('replaced')
            position = self.position(goal.request, joint)
            assert position is not None
            running, moved_s = (goal, position, Future()), now_s()
            ended[bytes(goal.goal_id.uuid)] = running[2]  # which may be before it is executed
            joints.command(np.array([position]))
            goal.execute()

        async def execute(goal: Any) -> Any:
            outcome = await ended.pop(bytes(goal.goal_id.uuid))
            result = kind.Result()
            self.fill(result, joint, float(joints.measure()[0]), outcome)
            {'reached': goal.succeed, 'canceled': goal.canceled}.get(outcome, goal.abort)()
            return result

        def cancel(goal: Any) -> CancelResponse:
            if running is None or running[0] is not goal:
                return CancelResponse.REJECT
            joints.command(joints.measure())
            end('canceled')
            return CancelResponse.ACCEPT

        def update() -> None:
            nonlocal moved_s
            if running is None:
                return
            if abs(running[1] - joints.measure()[0]) < GOAL_TOLERANCE:
                end('reached')
            elif abs(joints.motion()[0][0]) > STALL_SPEED:
                moved_s = now_s()
            elif now_s() - moved_s > STALL_S:
                end('stalled')

        create_action_server(
            node, self.action.at(joints.output.topic), execute, accept, begin, cancel
        )
        create_timer(node, 1.0 / UPDATE_HZ, update, alone=True)
        return lambda: end('replaced')


def _goal_position(goal: Any, _joint: str) -> float | None:
    return float(goal.command.position)


def _fill_result(result: Any, _joint: str, position: float, outcome: str) -> None:
    result.position = position
    result.reached_goal, result.stalled = outcome == 'reached', outcome == 'stalled'


def _named_position(goal: Any, joint: str) -> float | None:
    names, positions = goal.command.name, goal.command.position
    return float(positions[0]) if list(names) == [joint] and len(positions) == 1 else None


def _fill_named(result: Any, joint: str, position: float, outcome: str) -> None:
    result.state.name, result.state.position = [joint], [position]
    result.reached_goal, result.stalled = outcome == 'reached', outcome == 'stalled'


GRIPPER = GripperAction('gripper_command', GRIPPER_COMMAND, _goal_position, _fill_result)
PARALLEL = GripperAction(
    'parallel_gripper', PARALLEL_GRIPPER_COMMAND, _named_position, _fill_named
)

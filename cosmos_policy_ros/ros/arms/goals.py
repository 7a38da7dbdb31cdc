# SPDX-License-Identifier: Apache-2.0
"""A gripper behind an action: positions at the control rate in, few goals out.

A controller serves one goal at a time and a new one cancels the last, so a goal per tick would
never let one be reached. A goal leaves when the wanted opening has moved away from the last goal
by a step, not sooner than a while after it, and once more when the opening comes to rest. A goal
that was refused, or went before the controller was there, is sent again.
"""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Any

from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.arms.driver import CONTROL_MSGS, optional_class, Pack, Watch
from cosmos_policy_ros.ros.endpoints import create_action_client
from cosmos_policy_ros.topics import Action
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

STEP = 0.01  # of the opening; a smaller change waits for the opening to rest
PERIOD_S = 0.1  # between two goals; grippers take 0.2 to 1 s from closed to open
IDLE_S = 0.5  # without commands, after which the gripper may be elsewhere and is sent again


class GoalStream:
    """When the opening of a gripper becomes a goal.

    Attributes:
        goal: Opening of the last goal [0..1], None before the first and after one that failed.
    """

    def __init__(self) -> None:
        """Start without a goal."""
        self.goal: float | None = None
        self._opening: float | None = None
        self._sent_s = self._fed_s = -float('inf')

    def feed(self, opening: float, now_s: float) -> bool:
        """Take the opening of a tick and return whether it is to be a goal now.

        Args:
            opening: What is commanded [0..1].
            now_s: Time of the tick [s, monotonic].
        """
        if now_s - self._fed_s > IDLE_S:
            self.goal = None
        rests = opening == self._opening
        self._opening, self._fed_s = opening, now_s
        if now_s - self._sent_s < PERIOD_S or opening == self.goal:
            return False
        if self.goal is not None and abs(opening - self.goal) < STEP and not rests:
            return False
        self.goal, self._sent_s = opening, now_s
        return True

    def fail(self) -> None:
        """Let the opening be sent again: its goal did not arrive or was refused."""
        self.goal = None


def action_class(driver: str, action: Action) -> Any:
    """Return the class of an action.

    Args:
        driver: Driver that needs it.
        action: The action.

    Raises:
        ConfigError: ``control_msgs`` is not installed.
    """
    return optional_class(driver, action.type, CONTROL_MSGS)


def open_goals(
    node: Node, output: CommandOutput, action: Action, make_goal: Callable[[float], Any]
) -> Pack:
    """Open the action of a gripper.

    Args:
        node: Node that sends goals.
        output: The gripper, whose topic is the name of the action.
        action: Type of the action.
        make_goal: Makes a goal from a controller position [m or rad].
    """
    client = create_action_client(node, action.at(output.topic))
    stream, log = GoalStream(), node.get_logger()
    told = False

    def tell(problem: str) -> None:
        nonlocal told
        stream.fail()
        if not told:
            log.error(f'{output.topic}: {problem}; the gripper does not follow')
        told = True

    def on_answer(future: Any) -> None:
        nonlocal told
        if not future.result().accepted:
            tell('the controller refuses the goal')
        else:
            told = False

    def send(goal: Any) -> None:
        if not client.server_is_ready():
            tell('no controller serves this action')
            return
        client.send_goal_async(goal).add_done_callback(on_answer)

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        if not stream.feed(float(positions[-1]), time.perf_counter()):
            return []
        goal = make_goal(output.to_controller_units(positions)[-1])
        return [lambda: send(goal)]

    return pack


def watch_server(node: Node, action: Action) -> Watch:
    """Return a watch of a gripper: somebody has to serve its action."""
    client = create_action_client(node, action)

    def find_trouble() -> str:
        if client.server_is_ready():
            return ''
        return f'nobody serves the action {action.name}; start the controller of the gripper'

    return find_trouble

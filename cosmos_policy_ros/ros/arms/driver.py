# SPDX-License-Identifier: Apache-2.0
"""What every driver has: its topics, and a function that gets commands ready to leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.endpoints import ros_class
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

Pack = Callable[[NDArray[np.float32]], list[Callable[[], None]]]
"""From (joints,) float32 positions of an output [rad; gripper 0..1] to the calls that send them.

Building a message takes as long as sending it. So it is built ahead of time, and the calls are
made when the command is due.
"""

CONTROL_MSGS = 'ros-controls/control_msgs'  # where a message package of that name comes from
Watch = Callable[[], str]
"""Returns why what is sent would not be done as commanded, empty when it would.

Whoever commands the arms looks before it sends anything and ten times a second while it does, so
it must not wait: what has to be asked is asked beforehand, and no answer is a reason.
"""


class Setup(Protocol):
    """Software of an arm that must be set up before commands may leave, and watched then.

    Attributes:
        ready: Whether it is set up; nothing may be sent while it is not.
        trouble: What was found wrong since it was, and what to do; empty if nothing.
    """

    ready: bool
    trouble: str

    async def inspect(self) -> None:
        """Check what ``prepare`` cannot put right, and set nothing.

        Raises:
            ValueError: It is not as commands need it.
            TimeoutError: It does not answer.
        """

    async def prepare(self) -> None:
        """Set it up as far as that is missing, check it, and watch it from then on.

        Raises:
            ValueError: It is not as commands need it.
            TimeoutError: It does not answer.
        """

    async def slow_down(self, rad_s: float, longest_rad: float) -> None:
        """Have the arm's own motors go slowly to the next command; ``prepare`` ends that.

        Args:
            rad_s: How fast [rad/s].
            longest_rad: How far the motor that goes farthest will go [rad].

        Raises:
            ValueError: The motors do not take it.
            TimeoutError: The driver does not answer.
        """

    async def let_go(self) -> None:
        """Switch the torque off and see that it is: an arm that stands falls.

        Raises:
            ValueError: A motor keeps its torque.
            TimeoutError: The driver does not answer.
        """


class Driver(Protocol):
    """Command interface of one kind of arm or gripper, one module of this folder.

    One whose software needs setting up has a third function, ``open_setup(node, output)``, which
    returns a ``Setup``.
    """

    def topics(self, output: CommandOutput) -> tuple[str, ...]:
        """Return the names of the topics on which the commands leave; actions have none.

        The command executor refuses to start while another node publishes on one of them.
        """

    def open_output(self, node: Node, output: CommandOutput, period_s: float) -> Pack:
        """Open the topics or the action.

        Args:
            node: Node that publishes.
            output: Joints whose commands leave, and where.
            period_s: Time from one command to the next [s].

        Raises:
            ConfigError: The driver's message package is not installed.
        """

    def open_watch(self, node: Node, output: CommandOutput, period_s: float) -> Watch:
        """Begin to ask the arm's own software whether it will do as commanded.

        Args:
            node: Node that asks.
            output: Joints whose commands leave, and where.
            period_s: Time from one command to the next [s].

        Raises:
            ConfigError: The driver's message package is not installed.
        """


def watch_listener(node: Node, topic: str) -> Watch:
    """Return a watch of software that answers no questions: somebody has to listen."""

    def find_trouble() -> str:
        there = node.count_subscribers(topic)
        return '' if there else f'nobody listens on {topic}; start the driver of the arm'

    return find_trouble


def optional_class(driver: str, name: str, source: str) -> type:
    """Return the class of a message of a package that not everybody has.

    Args:
        driver: Driver that needs it, for the message.
        name: Type, as ``package/msg/Name``.
        source: Where the package comes from, for the message.

    Raises:
        ConfigError: The package is not installed, or too old for the message.
    """
    try:
        return ros_class(name)
    except (ImportError, AttributeError) as error:
        package = name.partition('/')[0]
        msg = (
            f'driver {driver} needs {name} of the ROS package {package}, which is not installed '
            f'or has none; build it from {source} and source that workspace'
        )
        raise ConfigError(msg) from error

# SPDX-License-Identifier: Apache-2.0
"""Driver ``joint_state``: one ``JointState`` per command, stamped when it is made.

What drivers that take such a message mean by velocity and effort is their own matter: the Piper
node reads the seventh velocity as a speed in percent and the seventh effort as the gripper's
force. The robot file gives both as constants.

Source: agilexrobotics/Piper_ros ``piper_ctrl_single_node.py`` (``joint_ctrl_single``);
utiasDSL/crisp_controllers (``target_joint``); Isaac Sim's articulation controller and rosetta's
contracts take positions by name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.arms.driver import Pack, Watch, watch_listener
from cosmos_policy_ros.ros.convert import joint_state_message
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.topics import ARM_JOINT_STATE_COMMAND
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node


def topics(output: CommandOutput) -> tuple[str, ...]:
    """Return the driver's command topic."""
    return (output.topic,)


def open_output(node: Node, output: CommandOutput, _period_s: float) -> Pack:
    """Open the topic; a message has names, positions, and the constants of the robot file."""
    publisher = create_publisher(node, ARM_JOINT_STATE_COMMAND.at(output.topic))
    clock = node.get_clock()

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        message = joint_state_message(
            output.joints,
            output.to_controller_units(positions),
            clock.now().nanoseconds,
            output.velocities,
            output.efforts,
        )
        return [partial(publisher.publish, message)]

    return pack


def open_watch(node: Node, output: CommandOutput, _period_s: float) -> Watch:
    """Look whether the driver listens; it answers no questions."""
    return watch_listener(node, output.topic)

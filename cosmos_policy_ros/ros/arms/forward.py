# SPDX-License-Identifier: Apache-2.0
"""Driver ``forward``: one ``Float64MultiArray`` per command, applied on arrival.

The controller knows the numbers by their order alone, which must be that of the robot file: so
it is asked for its joints.

Source: ros2_control's forward_command_controller (topic ``commands``, parameters ``joints`` and
``interface_name``) and the position_controllers made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.arms.controller import watch_controller
from cosmos_policy_ros.ros.arms.driver import Pack, Watch
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.topics import ARM_FORWARD_COMMAND
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray


def topics(output: CommandOutput) -> tuple[str, ...]:
    """Return the controller's command topic."""
    return (output.topic,)


def open_output(node: Node, output: CommandOutput, _period_s: float) -> Pack:
    """Open the topic; the numbers of a message are the arm joints, then the gripper."""
    publisher = create_publisher(node, ARM_FORWARD_COMMAND.at(output.topic))

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        message = Float64MultiArray(data=output.to_controller_units(positions))
        return [partial(publisher.publish, message)]

    return pack


def open_watch(node: Node, output: CommandOutput, _period_s: float) -> Watch:
    """Ask the controller for its joints and what it commands of them."""
    return watch_controller(node, output.topic, lambda found: refuse_parameters(found, output))


def refuse_parameters(found: dict[str, Any], output: CommandOutput) -> str:
    """Return what is wrong with the parameters of a controller, empty when nothing is.

    Args:
        found: Parameters of the controller.
        output: What is sent to it.
    """
    joints, sent = found.get('joints') or [], list(output.joints)
    if list(joints) != sent:
        return (
            f'commands the joints {list(joints)}, the robot file sends {sent}; numbers have no '
            'names, so write the joints in the order of the controller'
        )
    interface = found.get('interface_name', 'position')
    if interface != 'position':
        return f'commands the {interface} of its joints, commands are positions'
    return ''

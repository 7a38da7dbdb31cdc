# SPDX-License-Identifier: Apache-2.0
"""Stand-in for ``forward_command_controller``: a command is applied on arrival and held for ever.

Source: ros-controls/ros2_controllers@jazzy forward_command_controller
(``forward_controllers_base.cpp``): messages with NaN are dropped; one of another size is an error
of the controller, which then commands nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.ros.stand_ins.joints import SimulatedJoints
from cosmos_policy_ros.ros.stand_ins.parameters import serve_parameters
from cosmos_policy_ros.topics import ARM_FORWARD_COMMAND, STREAM
import numpy as np
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray


def serve(node: Node, joints: SimulatedJoints) -> Callable[[], None]:
    """Take commands and answer for the parameters; a reset has nothing to forget."""
    output, log = joints.output, node.get_logger()

    def on_command(message: Float64MultiArray) -> None:
        numbers = np.array(message.data, dtype=np.float64)
        n = len(output.joints)
        if numbers.shape != (n,) or not np.isfinite(numbers).all():
            log.warning(
                f'{output.topic} needs {n} finite numbers, ignored {numbers.tolist()}',
                throttle_duration_sec=1.0,
            )
            return
        joints.command(numbers)

    create_subscription(node, ARM_FORWARD_COMMAND.at(output.topic), on_command, STREAM)
    parameters = {'joints': list(output.joints), 'interface_name': 'position'}
    serve_parameters(node, output.topic.rpartition('/')[0], parameters)
    return lambda: None

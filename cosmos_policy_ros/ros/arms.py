# SPDX-License-Identifier: Apache-2.0
"""How one arm's part of a joint command leaves, by driver.

Source: ros2_control's forward_command_controller and joint_trajectory_controller (topics
``commands`` and ``joint_trajectory``); Interbotix/interbotix_ros_core@humble ``xs_sdk`` (topics
``commands/joint_group`` and ``commands/joint_single``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Duration
from cosmos_policy_ros.robot import ArmSpec, GripperSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

QOS = QoSProfile(depth=1)  # reliable; only the newest command counts
Send = Callable[[NDArray[np.float32]], None]


def command_topics(arm: ArmSpec) -> tuple[str, ...]:
    """Return the topics an arm's commands leave on."""
    if arm.driver == 'interbotix':
        base = f'{arm.command_topic}/commands'
        return f'{base}/joint_group', f'{base}/joint_single'
    return (arm.command_topic,)


def open_arm(node: Node, arm: ArmSpec, period_s: float) -> Send:
    """Open an arm's command topics and return the function that sends it a command.

    The function takes the (joints + 1,) float32 positions of the arm [rad; gripper 0..1].

    Args:
        node: Node that publishes.
        arm: The arm.
        period_s: Time from one command to the next [s].

    Raises:
        ConfigError: The driver's message package is not installed.
    """
    if arm.driver == 'interbotix':
        return _open_interbotix(node, arm)
    return {'forward': _open_forward, 'trajectory': _open_trajectory}[arm.driver](
        node, arm, period_s
    )


def gripper_command(gripper: GripperSpec, opening: float) -> float:
    """Return an opening of 0..1 in the units of the gripper's controller [m or rad]."""
    span = gripper.command_open - gripper.command_closed
    return gripper.command_closed + float(opening) * span


def _open_forward(node: Node, arm: ArmSpec, _period_s: float) -> Send:
    publisher = node.create_publisher(Float64MultiArray, arm.command_topic, QOS)

    def send(positions: NDArray[np.float32]) -> None:
        publisher.publish(Float64MultiArray(data=_in_driver_units(arm, positions)))

    return send


def _open_trajectory(node: Node, arm: ArmSpec, period_s: float) -> Send:
    """The controller must own the arm joints and the gripper's joint."""
    publisher = node.create_publisher(JointTrajectory, arm.command_topic, QOS)
    names = [*arm.joints, arm.gripper.state_joint]
    sec, nanosec = divmod(round(period_s * 1e9), 10**9)

    def send(positions: NDArray[np.float32]) -> None:
        point = JointTrajectoryPoint(positions=_in_driver_units(arm, positions))
        point.time_from_start = Duration(sec=sec, nanosec=nanosec)
        # stamp 0: the controller starts on arrival, whatever its clock says
        publisher.publish(JointTrajectory(joint_names=names, points=[point]))

    return send


def _open_interbotix(node: Node, arm: ArmSpec) -> Send:
    group_type, single_type = _interbotix_types()
    group_topic, single_topic = command_topics(arm)
    group = node.create_publisher(group_type, group_topic, QOS)
    single = node.create_publisher(single_type, single_topic, QOS)

    def send(positions: NDArray[np.float32]) -> None:
        numbers = _in_driver_units(arm, positions)
        group.publish(group_type(name='arm', cmd=numbers[:-1]))
        single.publish(single_type(name='gripper', cmd=numbers[-1]))

    return send


def _interbotix_types() -> tuple[Any, Any]:
    try:
        from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand
    except ImportError as error:
        msg = (
            'driver interbotix needs the ROS package interbotix_xs_msgs, which is not installed; '
            'build it from Interbotix/interbotix_ros_core and source that workspace'
        )
        raise ConfigError(msg) from error
    return JointGroupCommand, JointSingleCommand


def _in_driver_units(arm: ArmSpec, positions: NDArray[np.float32]) -> list[float]:
    """Return arm joints [rad] and the gripper in controller units, as plain numbers."""
    numbers = positions.tolist()
    numbers[-1] = gripper_command(arm.gripper, numbers[-1])
    return numbers

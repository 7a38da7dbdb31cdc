# SPDX-License-Identifier: Apache-2.0
"""How a joint command leaves, arm by arm, by driver.

Source: ros2_control's forward_command_controller and joint_trajectory_controller (topics
``commands`` and ``joint_trajectory``); Interbotix/interbotix_ros_core@humble ``xs_sdk`` (topics
``commands/joint_group`` and ``commands/joint_single``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, chain, pairwise
from typing import Any

from builtin_interfaces.msg import Duration
from cosmos_policy_ros.robot import ArmSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

QOS = QoSProfile(depth=1)  # reliable; only the newest command counts
Pack = Callable[[NDArray[np.float32]], list[Callable[[], None]]]


def command_topics(arm: ArmSpec) -> tuple[str, ...]:
    """Return the topics an arm's commands leave on."""
    if arm.driver == 'interbotix':
        base = f'{arm.command_topic}/commands'
        return f'{base}/joint_group', f'{base}/joint_single'
    return (arm.command_topic,)


def open_arms(node: Node, arms: Sequence[ArmSpec], period_s: float) -> Pack:
    """Open all arms as ``open_arm`` does; the function takes the (A,) positions of all of them."""
    packs = [open_arm(node, arm, period_s) for arm in arms]
    ends = list(accumulate(len(arm.joints) + 1 for arm in arms))
    slices = [slice(*pair) for pair in pairwise([0, *ends])]

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        ready = (pack(positions[part]) for pack, part in zip(packs, slices, strict=True))
        return list(chain.from_iterable(ready))

    return pack


def open_arm(node: Node, arm: ArmSpec, period_s: float) -> Pack:
    """Open an arm's command topics and return the function that gets a command ready to leave.

    The function takes the (joints + 1,) float32 positions of the arm [rad; gripper 0..1] and
    returns what to call for them to leave: building a message takes as long as sending it.

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


def _open_forward(node: Node, arm: ArmSpec, _period_s: float) -> Pack:
    publisher = node.create_publisher(Float64MultiArray, arm.command_topic, QOS)

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        message = Float64MultiArray(data=_in_driver_units(arm, positions))
        return [partial(publisher.publish, message)]

    return pack


def _open_trajectory(node: Node, arm: ArmSpec, period_s: float) -> Pack:
    """The controller must own the arm joints and the gripper's joint."""
    publisher = node.create_publisher(JointTrajectory, arm.command_topic, QOS)
    names = [*arm.joints, arm.gripper.state_joint]
    sec, nanosec = divmod(round(period_s * 1e9), 10**9)

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        point = JointTrajectoryPoint(positions=_in_driver_units(arm, positions))
        point.time_from_start = Duration(sec=sec, nanosec=nanosec)
        # stamp 0: the controller starts on arrival, whatever its clock says
        message = JointTrajectory(joint_names=names, points=[point])
        return [partial(publisher.publish, message)]

    return pack


def _open_interbotix(node: Node, arm: ArmSpec) -> Pack:
    group_type, single_type = _interbotix_types()
    group_topic, single_topic = command_topics(arm)
    group = node.create_publisher(group_type, group_topic, QOS)
    single = node.create_publisher(single_type, single_topic, QOS)

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        numbers = _in_driver_units(arm, positions)
        joints = group_type(name='arm', cmd=numbers[:-1])
        gripper = single_type(name='gripper', cmd=numbers[-1])
        return [partial(group.publish, joints), partial(single.publish, gripper)]

    return pack


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
    numbers[-1] = arm.gripper.to_command(numbers[-1])
    return numbers

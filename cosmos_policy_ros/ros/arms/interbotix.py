# SPDX-License-Identifier: Apache-2.0
"""Driver ``interbotix``: the group ``arm`` and the single joint ``gripper`` of an ``xs_sdk`` node.

Source: Interbotix/interbotix_ros_core@humble ``xs_sdk`` (topics ``commands/joint_group`` and
``commands/joint_single`` in the arm's namespace).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cosmos_policy_ros.robot import ArmSpec
from cosmos_policy_ros.ros.arms.driver import Pack, to_controller_units
from cosmos_policy_ros.ros.endpoints import create_publisher, ros_class
from cosmos_policy_ros.topics import ARM_INTERBOTIX_GROUP, ARM_INTERBOTIX_SINGLE
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node


def topics(arm: ArmSpec) -> tuple[str, ...]:
    """Return the topics of the arm joints and of the gripper; ``command_topic`` is a namespace."""
    base = f'{arm.command_topic}/commands'
    return f'{base}/joint_group', f'{base}/joint_single'


def open_arm(node: Node, arm: ArmSpec, _period_s: float) -> Pack:
    """Open both topics.

    Raises:
        ConfigError: ``interbotix_xs_msgs`` is not installed.
    """
    try:
        group_class = ros_class(ARM_INTERBOTIX_GROUP.type)
        single_class = ros_class(ARM_INTERBOTIX_SINGLE.type)
    except ImportError as error:
        msg = (
            'driver interbotix needs the ROS package interbotix_xs_msgs, which is not installed; '
            'build it from Interbotix/interbotix_ros_core and source that workspace'
        )
        raise ConfigError(msg) from error
    group_topic, single_topic = topics(arm)
    group = create_publisher(node, ARM_INTERBOTIX_GROUP.at(group_topic))
    single = create_publisher(node, ARM_INTERBOTIX_SINGLE.at(single_topic))

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        numbers = to_controller_units(arm, positions)
        joints = group_class(name='arm', cmd=numbers[:-1])
        gripper = single_class(name='gripper', cmd=numbers[-1])
        return [partial(group.publish, joints), partial(single.publish, gripper)]

    return pack

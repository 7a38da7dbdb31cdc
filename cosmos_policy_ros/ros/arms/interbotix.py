# SPDX-License-Identifier: Apache-2.0
"""Driver ``interbotix``: the group ``arm`` and the single joint ``gripper`` of an ``xs_sdk`` node.

Source: Interbotix/interbotix_ros_core@humble ``xs_sdk`` (topics ``commands/joint_group`` and
``commands/joint_single`` in the arm's namespace).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.arms.driver import optional_class, Pack, Watch, watch_listener
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.topics import ARM_INTERBOTIX_GROUP, ARM_INTERBOTIX_SINGLE
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher

SOURCE = 'Interbotix/interbotix_ros_core'


def topics(output: CommandOutput) -> tuple[str, ...]:
    """Return the topics of the arm joints and of the gripper, as far as the output has them."""
    base = f'{output.topic}/commands'
    group = (f'{base}/joint_group',) if output.arm_joints else ()
    return (*group, f'{base}/joint_single') if output.gripper else group


def open_output(node: Node, output: CommandOutput, _period_s: float) -> Pack:
    """Open both topics; ``output.topic`` is the arm's namespace.

    Raises:
        ConfigError: ``interbotix_xs_msgs`` is not installed.
    """
    group_class = optional_class('interbotix', ARM_INTERBOTIX_GROUP.type, SOURCE)
    single_class = optional_class('interbotix', ARM_INTERBOTIX_SINGLE.type, SOURCE)
    publishers: dict[str, Publisher] = {}
    for topic in topics(output):
        row = ARM_INTERBOTIX_GROUP if topic.endswith('group') else ARM_INTERBOTIX_SINGLE
        publishers[row.type] = create_publisher(node, row.at(topic))
    group = publishers.get(ARM_INTERBOTIX_GROUP.type)
    single = publishers.get(ARM_INTERBOTIX_SINGLE.type)
    n_joints = len(output.arm_joints)

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        numbers, ready = output.to_controller_units(positions), []
        if group is not None:
            joints = group_class(name='arm', cmd=numbers[:n_joints])
            ready.append(partial(group.publish, joints))
        if single is not None:
            gripper = single_class(name='gripper', cmd=numbers[-1])
            ready.append(partial(single.publish, gripper))
        return ready

    return pack


def open_watch(node: Node, output: CommandOutput, _period_s: float) -> Watch:
    """Look whether the driver listens."""
    return watch_listener(node, topics(output)[0])

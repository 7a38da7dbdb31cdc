# SPDX-License-Identifier: Apache-2.0
"""Whether somebody else on the ROS graph already does what a node is about to do."""

from __future__ import annotations

from collections.abc import Sequence
import time

from cosmos_policy_ros.types import ConfigError
from rclpy.node import Node


def refuse_second_stack(node: Node, topics: Sequence[str], wait_s: float) -> None:
    """Look for a while whether another node publishes the topics that this one will publish.

    Args:
        node: Node that has not opened its topics yet.
        topics: Topics that must have one publisher.
        wait_s: Time that discovery gets [s].

    Raises:
        ConfigError: Somebody publishes one of them.
    """
    until_s = time.perf_counter() + wait_s
    while True:
        for topic in topics:
            if found := node.get_publishers_info_by_topic(topic):
                nodes = sorted({info.node_name for info in found})
                msg = (
                    f'a second stack on the same domain: {topic} is published by {nodes}; stop it '
                    'or use another ROS_DOMAIN_ID (one that crashed is seen for 20 s)'
                )
                raise ConfigError(msg)
        if time.perf_counter() >= until_s:
            return
        time.sleep(0.05)

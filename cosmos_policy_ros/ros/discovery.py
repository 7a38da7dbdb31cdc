# SPDX-License-Identifier: Apache-2.0
"""Whether another node on the ROS graph already publishes what a node is about to publish."""

from __future__ import annotations

from collections.abc import Sequence
import time

from cosmos_policy_ros.types import ConfigError
from rclpy.node import Node

NAMES_S = 0.5  # [s] a node's name is discovered a little later than its topics


def refuse_second_stack(node: Node, topics: Sequence[str], wait_s: float) -> None:
    """Refuse to start beside another node that publishes the same topics.

    Args:
        node: Node that has not opened its topics yet.
        topics: Topics that must have one publisher.
        wait_s: Time that discovery gets [s].

    Raises:
        ConfigError: Another node publishes one of them.
    """
    until_s = time.perf_counter() + wait_s
    while not (found := find_second_stack(node, topics)) and time.perf_counter() < until_s:
        time.sleep(0.05)
    if found:
        time.sleep(NAMES_S)
        raise ConfigError(find_second_stack(node, topics) or found)


def find_second_stack(node: Node, topics: Sequence[str], n_own: int = 0) -> str:
    """Return which topic has other publishers, and what to do about it; empty when none has.

    Args:
        node: Node on whose graph to look.
        topics: Topics that must have one publisher.
        n_own: Publishers that the node itself has on each of them.
    """
    for topic in map(node.resolve_topic_name, topics):
        if node.count_publishers(topic) > n_own:
            found = node.get_publishers_info_by_topic(topic)
            nodes = sorted({info.node_name for info in found})
            return (
                f'a second stack on the same domain: {topic} is published by {nodes}; stop it '
                'or use another ROS_DOMAIN_ID (one that crashed is seen for 20 s)'
            )
    return ''

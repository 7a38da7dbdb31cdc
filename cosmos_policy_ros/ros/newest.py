# SPDX-License-Identifier: Apache-2.0
"""The newest message of a topic, fetched when it is wanted.

A callback costs the interpreter some 0.05 ms, and sensors send hundreds of messages a second. Here
nobody is called: the middleware keeps the newest message, and nothing happens in this process
until somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.topics import Qos, Topic
from rclpy.node import Node

NEWEST = Qos('best_effort', 'volatile', 1)  # from every publisher, and no message but the last


class NewestMessages:
    """Subscriptions to topics that no executor runs."""

    def __init__(self, node: Node, topics: Iterable[Topic]) -> None:
        """Subscribe.

        Args:
            node: Node for which it happens; the subscriptions are on one beside it, which nobody
                spins.
            topics: The topics.
        """
        self._node = Node(
            f'{node.get_name()}_reader',
            namespace=node.get_namespace(),
            context=node.context,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._subscriptions = {
            topic.name: create_subscription(self._node, topic, _never, NEWEST) for topic in topics
        }
        self._messages: dict[str, Any] = {}

    def take(self, topic: Topic) -> Any:
        """Return the newest message of one of the topics, None before the first."""
        subscription = self._subscriptions[topic.name]
        with subscription.handle:
            taken = subscription.handle.take_message(subscription.msg_type, False)
        if taken is not None:
            self._messages[topic.name] = taken[0]
        return self._messages.get(topic.name)

    def close(self) -> None:
        """End the subscriptions."""
        self._node.destroy_node()


def _never(_message: Any) -> None:
    """Take the place of a callback, which nobody calls."""

# SPDX-License-Identifier: Apache-2.0
"""The serialized messages of many topics, kept as they came for a recording.

Nothing is decoded but what somebody asked for, so that three cameras cost a copy each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

SMALL_QOS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)  # 0.5 s of an arm


class Captured(NamedTuple):
    """One message.

    Attributes:
        topic: Where it came.
        type: Its type as ``package/msg/Name``.
        data: Serialized CDR bytes.
        stamp_ns: When it arrived [ns, ROS clock].
    """

    topic: str
    type: str
    data: bytes
    stamp_ns: int


class Capture:
    """Subscribe to topics and keep their messages while recording.

    Attributes:
        newest_ns: Topic -> when its newest message arrived [ns, ROS clock]; no entry before.
    """

    def __init__(
        self,
        node: Node,
        topics: Mapping[str, type],
        listeners: Mapping[str, Callable[[Any], None]],
    ) -> None:
        """Subscribe; nothing is kept before ``start``.

        Args:
            node: Node that owns the subscriptions.
            topics: Topic -> message class.
            listeners: Topic -> what gets its messages decoded, recording or not.
        """
        self.newest_ns: dict[str, int] = {}
        self._clock = node.get_clock()
        self._kept: list[Captured] = []
        self._recording = False
        for topic, kind in topics.items():
            qos = qos_profile_sensor_data if kind is Image else SMALL_QOS
            callback = partial(self._on_message, topic, kind, listeners.get(topic))
            node.create_subscription(kind, topic, callback, qos, raw=True)

    def start(self) -> None:
        """Begin a recording."""
        self._kept, self._recording = [], True

    def stop(self) -> list[Captured]:
        """End the recording and return it in the order of arrival."""
        kept, self._kept, self._recording = self._kept, [], False
        return kept

    def _on_message(
        self, topic: str, kind: type, listener: Callable[[Any], None] | None, data: bytes
    ) -> None:
        now_ns = self._clock.now().nanoseconds
        self.newest_ns[topic] = now_ns
        if self._recording:
            name = f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
            self._kept.append(Captured(topic, name, data, now_ns))
        if listener is not None:
            listener(deserialize_message(data, kind))

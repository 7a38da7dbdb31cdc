# SPDX-License-Identifier: Apache-2.0
"""The serialized messages of an episode's topics, handed to whoever records them.

Nothing is decoded but what somebody asked for, so that a camera image costs a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.ros.observer import TASK_QOS, TASK_TOPIC
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, JointState, PointCloud2
from std_msgs.msg import Bool, String
from trajectory_msgs.msg import JointTrajectory

# Best effort hears every publisher. What waits here while the disk stalls is not lost: 2 s.
IMAGE_QOS = QoSProfile(depth=60, reliability=ReliabilityPolicy.BEST_EFFORT)
SMALL_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
Sink = Callable[[str, str, bytes, int], None]  # topic, type, serialized message, arrival [ns]


class Capture:
    """Subscribe to topics and hand on their messages while somebody records.

    Attributes:
        newest_ns: Topic -> when its newest message arrived [ns, ROS clock]; no entry before.
    """

    def __init__(
        self,
        node: Node,
        topics: Mapping[str, type],
        listeners: Mapping[str, Callable[[Any], None]],
    ) -> None:
        """Subscribe; nothing is handed on before ``start``.

        Args:
            node: Node that owns the subscriptions.
            topics: Topic -> message class.
            listeners: Topic -> what gets its messages decoded, recording or not.
        """
        self.newest_ns: dict[str, int] = {}
        self._clock = node.get_clock()
        self._task = b''  # published once, perhaps long before an episode
        self._sink: Sink | None = None
        for topic, kind in topics.items():
            qos = IMAGE_QOS if kind is Image else SMALL_QOS
            callback = partial(
                self._on_message, topic, kind, type_name(kind), listeners.get(topic)
            )
            node.create_subscription(
                kind, topic, callback, TASK_QOS if topic == TASK_TOPIC else qos, raw=True
            )

    def start(self, sink: Sink) -> None:
        """Hand every message on from now on, first the task."""
        self._sink = sink
        if self._task:
            sink(TASK_TOPIC, type_name(String), self._task, self._clock.now().nanoseconds)

    def stop(self) -> None:
        """Hand nothing on any more."""
        self._sink = None

    def _on_message(
        self,
        topic: str,
        kind: type,
        name: str,
        listener: Callable[[Any], None] | None,
        data: bytes,
    ) -> None:
        now_ns = self._clock.now().nanoseconds
        self.newest_ns[topic] = now_ns
        if topic == TASK_TOPIC:
            self._task = data
        if self._sink is not None:
            self._sink(topic, name, data, now_ns)
        if listener is not None:
            listener(deserialize_message(data, kind))


def recorded_topics(robot: RobotSpec) -> dict[str, type]:
    """Return topic -> message class of all that an episode is made of, where it is published."""
    cameras = {camera.topic: Image for camera in robot.cameras}
    arms = {arm.joint_state_topic: JointState for arm in robot.arms}
    return {
        **cameras,
        **arms,
        TASK_TOPIC: String,
        '/joint_command': JointState,
        '/policy/query': JointTrajectory,
        '/policy/candidates': PointCloud2,
        '/policy/action_chunk': JointTrajectory,
        '/demonstration/expert': Bool,
        '/sim/success': Bool,
        '/diagnostics': DiagnosticArray,
    }


def type_name(kind: type) -> str:
    """Return the name of a message class as ``package/msg/Name``."""
    return f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'

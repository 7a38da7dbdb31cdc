# SPDX-License-Identifier: Apache-2.0
"""The serialized messages of an episode's topics, handed on to a recording.

Only the topics with a listener are decoded, so that a camera image costs a copy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
import struct
from typing import Any

from cosmos_policy_ros.robot import CameraSpec, RobotSpec
from cosmos_policy_ros.ros.endpoints import create_subscription, ros_class
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    camera_images,
    CANDIDATES,
    COMPRESSED_IMAGE,
    DIAGNOSTICS,
    EXPERT,
    HUMAN_INTERVENTION,
    IMAGE,
    JOINT_COMMAND,
    JOINT_STATES,
    Qos,
    QUERY,
    SUCCESS,
    TASK,
    Topic,
)
from rclpy.node import Node
from rclpy.serialization import deserialize_message

# Best effort receives from every publisher. 2 s wait here while the disk stalls, and are not lost.
IMAGE_QOS = Qos('best_effort', 'volatile', 60)
SMALL_QOS = Qos('best_effort', 'volatile', 200)
LATCHED = {topic.name: topic for topic in (TASK, HUMAN_INTERVENTION)}
KEPT_STAMPS = 8  # of a camera; a query needs those of the last 0.1 s
Sink = Callable[[str, str, bytes, int], None]  # topic, type, serialized message, arrival [ns]


class Capture:
    """Subscribe to topics and hand their messages on while an episode is recorded.

    Attributes:
        newest_ns: Name in bags -> when its newest message arrived [ns, ROS clock]; no entry
            before.
    """

    def __init__(
        self,
        node: Node,
        topics: Mapping[str, Topic],
        listeners: Mapping[str, Callable[[Any], None]],
        look: Sink | None = None,
    ) -> None:
        """Subscribe; nothing is handed on before ``start``.

        Args:
            node: Node that owns the subscriptions.
            topics: Name in bags, which is that of a stack without a namespace -> topic.
            listeners: Name in bags -> called with its decoded messages, recording or not.
            look: Called with every message, recording or not, after it was handed on.
        """
        self._look = look
        self.newest_ns: dict[str, int] = {}
        self._image_stamps: dict[str, deque[int]] = {}  # topic -> sensing times [ns, ROS clock]
        self._clock = node.get_clock()
        self._latched: dict[str, bytes] = {}  # published once, perhaps long before an episode
        self._sink: Sink | None = None
        for name, topic in topics.items():
            qos = IMAGE_QOS if topic.type == IMAGE.type else SMALL_QOS
            create_subscription(
                node,
                topic,
                partial(self._on_message, name, topic.type, listeners.get(name)),
                topic.qos if name in LATCHED else qos,
                raw=True,
            )

    def start(self, sink: Sink) -> None:
        """Hand every message on from now on, first the task and who acts."""
        self._sink = sink
        for name, data in self._latched.items():
            sink(name, LATCHED[name].type, data, self._clock.now().nanoseconds)

    def stop(self) -> None:
        """Hand nothing on any more."""
        self._sink = None

    def image_ages_s(self, cameras: Iterable[CameraSpec], stamp_ns: int) -> list[float]:
        """Return the age of each camera's image that a query of a time would hold now [s].

        Cameras that have sent none by then are left out.

        Args:
            cameras: The cameras; images of other topics, such as predicted ones, do not count.
            stamp_ns: Stamp of the query [ns, ROS clock].
        """
        sent = [self._image_stamps.get(camera.topic, ()) for camera in cameras]
        taken = [[s for s in stamps if s <= stamp_ns] for stamps in sent]
        return [(stamp_ns - max(stamps)) * 1e-9 for stamps in taken if stamps]

    def _on_message(
        self, name: str, msg_type: str, listener: Callable[[Any], None] | None, data: bytes
    ) -> None:
        now_ns = self._clock.now().nanoseconds
        self.newest_ns[name] = now_ns
        if name in LATCHED:
            self._latched[name] = data
        elif msg_type in (IMAGE.type, COMPRESSED_IMAGE.type):
            sec, nanosec = struct.unpack_from('<iI', data, 4)  # behind the encapsulation
            stamps = self._image_stamps.setdefault(name, deque(maxlen=KEPT_STAMPS))
            stamps.append(sec * 10**9 + nanosec)
        if self._sink is not None:
            self._sink(name, msg_type, data, now_ns)
        if self._look is not None:
            self._look(name, msg_type, data, now_ns)
        if listener is not None:
            listener(deserialize_message(data, ros_class(msg_type)))


def recorded_topics(robot: RobotSpec, live: RobotSpec) -> dict[str, Topic]:
    """Return what an episode is made of, published or not: name in bags -> topic.

    Args:
        robot: Robot as its file describes it for a stack without a namespace.
        live: The same in the namespace of the node that records.
    """
    cameras = {
        here.topic: camera_images(there)
        for here, there in zip(robot.cameras, live.cameras, strict=True)
    }
    arms = {
        here.joint_state_topic: JOINT_STATES.at(there.joint_state_topic)
        for here, there in zip(robot.arms, live.arms, strict=True)
    }
    others = (
        TASK, JOINT_COMMAND, QUERY, CANDIDATES, ACTION_CHUNK, EXPERT, HUMAN_INTERVENTION, SUCCESS,
        DIAGNOSTICS,
    )  # fmt: skip
    return {**cameras, **arms, **{topic.name: topic for topic in others}}

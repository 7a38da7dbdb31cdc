# SPDX-License-Identifier: Apache-2.0
"""What stands between the sensors of a robot and its stack, and can spoil every message.

The driver or the simulator publishes below ``/raw``; each message goes on under its real name as
it is, changed, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import time

from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription
from cosmos_policy_ros.topics import IMAGE, JOINT_STATES, Topic
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState
import yaml

RAW = '/raw'
SpoilJoints = Callable[[JointState, float], JointState | None]
SpoilImage = Callable[[bytes, float], bytes | None]


def write_driver_file(robot: Path, path: Path) -> None:
    """Write a robot file as the driver shall read it: with its sensors below ``RAW``.

    Args:
        robot: The robot file of the stack.
        path: Where.
    """
    keys = yaml.safe_load(robot.read_text(encoding='utf-8'))
    for arm in keys['arms']:
        arm['joint_state_topic'] = _raw(arm['joint_state_topic'])
    for camera in keys['cameras']:
        camera['topic'] = _raw(camera['topic'])
    keys.pop('scene', None)  # the stack's, which is next to its own file
    path.write_text(yaml.safe_dump(keys, sort_keys=False), encoding='utf-8')


class Proxy:
    """Pass on joint states and images, spoiled where a fault wants it.

    Attributes:
        joints: Topic -> what spoils its joint states: a function of the message and of the time
            since it was set [s]; None instead of a message drops it.
        images: Topic -> the same for serialized images.
        measured: Topic -> the newest message of the driver, unspoiled.
    """

    def __init__(self, node: Node, robot: RobotSpec) -> None:
        """Open both sides of all topics.

        Args:
            node: Node that owns them.
            robot: The robot as the stack knows it.
        """
        self.joints: dict[str, SpoilJoints] = {}
        self.images: dict[str, SpoilImage] = {}
        self.measured: dict[str, JointState] = {}
        self._since_s: dict[str, float] = {}
        for topic in robot.joint_state_topics:
            self._pass(node, JOINT_STATES.at(topic), self._spoil_joints)
        for camera in robot.cameras:
            self._pass(node, IMAGE.at(camera.topic), self._spoil_image)

    def spoil_joints(self, topic: str, spoil: SpoilJoints) -> None:
        """Spoil the joint states of a topic from now on."""
        self.joints[topic], self._since_s[topic] = spoil, time.monotonic()

    def spoil_image(self, topic: str, spoil: SpoilImage) -> None:
        """Spoil the images of a topic from now on."""
        self.images[topic], self._since_s[topic] = spoil, time.monotonic()

    def clear(self) -> None:
        """Pass everything on as it is."""
        self.joints.clear()
        self.images.clear()

    def _pass(self, node: Node, topic: Topic, spoil: Callable[[str, bytes], bytes | None]) -> None:
        publisher = create_publisher(node, topic)

        def pass_on(data: bytes) -> None:
            sent = spoil(topic.name, data)
            if sent is not None:
                publisher.publish(sent)

        create_subscription(node, topic.at(_raw(topic.name)), pass_on, raw=True)

    def _spoil_joints(self, topic: str, data: bytes) -> bytes | None:
        message = deserialize_message(data, JointState)
        self.measured[topic] = message
        if topic not in self.joints:
            return data
        spoiled = self.joints[topic](message, time.monotonic() - self._since_s[topic])
        return None if spoiled is None else serialize_message(spoiled)

    def _spoil_image(self, topic: str, data: bytes) -> bytes | None:
        if topic not in self.images:
            return data
        return self.images[topic](data, time.monotonic() - self._since_s[topic])


def _raw(topic: str) -> str:
    """Return where a topic is as its driver sends it."""
    return f'{RAW}/{topic.lstrip("/")}'

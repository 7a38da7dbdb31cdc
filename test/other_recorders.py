# SPDX-License-Identifier: Apache-2.0
"""Recordings as recorders other than ours leave them: bags of plain messages, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from cosmos_policy_ros.data.bags.writer import message_header, typestore
from cosmos_policy_ros.image_decoder import COMPRESSED_IMAGE, IMAGE
import numpy as np
from PIL import Image
from rosbags.rosbag2 import StoragePlugin, Writer
from samples import ROBOT

START_NS = 1_760_000_000_000_000_000
JOINT_STATE, STRING = 'sensor_msgs/msg/JointState', 'std_msgs/msg/String'
JOINTS = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate')
T = typestore().types


class Sent(NamedTuple):
    """A message on its way into a bag: arrival [ns], topic, type and message."""

    arrival_ns: int
    topic: str
    type: str
    message: Any


def joint_state(stamp_ns: int, names: Iterable[str], positions: Iterable[float]) -> Any:
    """Return a sensor_msgs/JointState without velocities and efforts."""
    empty = np.zeros(0)
    rows = np.array([*positions], np.float64)
    return T[JOINT_STATE](message_header(stamp_ns), [*names], rows, empty, empty)


def raw_image(stamp_ns: int, pixels: np.ndarray, encoding: str = 'rgb8') -> Any:
    """Return a sensor_msgs/Image of (height, width, channels) uint8 pixels."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1)
    header = message_header(stamp_ns)
    return T[IMAGE](header, height, width, encoding, 0, data.size // height, data)


def jpeg_image(stamp_ns: int, pixels: np.ndarray) -> Any:
    """Return a sensor_msgs/CompressedImage."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, 'JPEG', quality=95)
    data = np.frombuffer(file.getvalue(), np.uint8)
    return T[COMPRESSED_IMAGE](message_header(stamp_ns), 'rgb8; jpeg compressed bgr8', data)


def brightness(at_s: float) -> np.ndarray:
    """Return a 240x320 image that tells when it was taken: 50 levels per second, left is red."""
    pixels = np.full((240, 320, 3), round(50 * at_s), np.uint8)
    pixels[:, :160, 0] = 255
    return pixels


def arm_pose(at_s: float) -> list[float]:
    """Return the six joints of an arm: the waist turns at 0.1 rad/s."""
    return [0.1 * at_s, -0.96, 1.16, 0.0, -0.3, 0.0]


def recording(
    seconds: float = 2.0, stamp: Callable[[str, int], int] = lambda _topic, ns: ns
) -> list[Sent]:
    """Return what two arms at 100 Hz, commands at 50 Hz and three cameras at 12.5 Hz send.

    Args:
        seconds: How long.
        stamp: Returns what the header of a message says, of its topic and the true time [ns].
    """
    sent = [Sent(START_NS, '/task', STRING, T[STRING]('fold the towel'))]
    for tick in range(round(100 * seconds)):
        ns, at_s = START_NS + tick * 10_000_000, tick / 100
        for arm in ROBOT.arms:
            topic = arm.joint_state_topic
            message = joint_state(
                stamp(topic, ns), [*JOINTS, 'left_finger'], [*arm_pose(at_s), 0.058]
            )
            sent.append(Sent(ns, topic, JOINT_STATE, message))
        if tick % 2 == 0:
            numbers = [*arm_pose(at_s), 1.0] * 2
            message = joint_state(stamp('/joint_command', ns), ROBOT.joint_names, numbers)
            sent.append(Sent(ns, '/joint_command', JOINT_STATE, message))
        if tick % 8 == 0:
            for camera in ROBOT.cameras:
                message = raw_image(stamp(camera.topic, ns), brightness(at_s))
                sent.append(Sent(ns, camera.topic, IMAGE, message))
    return sent


def without(sent: Iterable[Sent], *topics: str) -> list[Sent]:
    """Return the messages of all other topics."""
    return [row for row in sent if row.topic not in topics]


def write_bag_of(
    path: Path,
    sent: Iterable[Sent],
    custom: dict[str, str] | None = None,
    sqlite: bool = False,
    as_sent: bool = False,
    silent: Mapping[str, str] | None = None,
) -> Path:
    """Write messages as ``ros2 bag record`` does, in the order of arrival.

    Args:
        path: Folder to make.
        sent: The messages.
        custom: Custom data, by default none.
        sqlite: Whether the storage is SQLite instead of MCAP.
        as_sent: Whether they are written in their own order, whatever their arrivals say.
        silent: Topics on which nobody sent anything, with their types.
    """
    plugin = StoragePlugin.SQLITE3 if sqlite else StoragePlugin.MCAP
    with Writer(path, version=9, storage_plugin=plugin) as bag:
        for key, value in (custom or {}).items():
            bag.set_custom_data(key, value)
        connections: dict[str, Any] = {
            topic: bag.add_connection(topic, kind, typestore=typestore())
            for topic, kind in (silent or {}).items()
        }
        for row in sent if as_sent else sorted(sent, key=lambda row: row.arrival_ns):
            if row.topic not in connections:
                connections[row.topic] = bag.add_connection(
                    row.topic, row.type, typestore=typestore()
                )
            data = typestore().serialize_cdr(row.message, row.type)
            bag.write(connections[row.topic], row.arrival_ns, data)
    return path

# SPDX-License-Identifier: Apache-2.0
"""The same messages give the same observations live and from a bag, and the same refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.bags.writer import BagWriter, IMAGE, JOINT_STATE, typestore
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.ros.convert import image_message, joint_state_message
from cosmos_policy_ros.ros.observer import Observer
from cosmos_policy_ros.types import ConfigError, Episode
from node_bench import ros_node
from rclpy.node import Node
from samples import ROBOT
from std_msgs.msg import String

pytestmark = pytest.mark.patient

MS = 1_000_000
IMAGE_AGE_S, JOINT_AGE_S = 0.25, 0.1
HIGH, LEFT = '/high/image_raw', '/follower_left/joint_states'
RIGHT, COMMAND = '/follower_right/joint_states', '/joint_command'
CAMERAS = {c.topic: c for c in ROBOT.cameras}
ARMS = {a.joint_state_topic: a for a in ROBOT.arms}
PERIOD_MS = {**dict.fromkeys(CAMERAS, 80), LEFT: 10, RIGHT: 10, COMMAND: 20}
Message = tuple[int, str, int, int]  # arrival [ms], topic, stamp [ms], content


@pytest.fixture
def node() -> Iterator[Node]:
    """Return a node in a ROS domain of its own."""
    with ros_node('parity_test') as node:
        yield node


def streams(until_ms: int, **period_ms: int) -> list[Message]:
    """Return what even streams send: at every period a message that arrives at once.

    Args:
        until_ms: End [ms].
        period_ms: Other periods by the name of an arm or camera [ms].
    """
    periods = PERIOD_MS | {t: period_ms.get(a.name, PERIOD_MS[t]) for t, a in ARMS.items()}
    return sorted(
        (t, topic, t, number % 200)
        for topic, period in periods.items()
        for number, t in enumerate(range(0, until_ms, period))
    )


def pose(content: int) -> list[float]:
    """Return joints that move slowly with the content, and a finger."""
    return [0.002 * content + 0.1 * joint for joint in range(6)] + [0.03]


def recorded(
    path: Path, messages: list[Message], stamps: Literal['header'] | None = None
) -> Episode:
    """Return the episode of a bag of the messages, in the order of their arrival."""
    with BagWriter(path, {'source': 'demo', 'success': 'true', 'task': 'move'}) as bag:
        bag.write_text('/task', 'move', 0)
        for arrival, topic, stamp, content in messages:
            message = bag_message(topic, stamp, content)
            bag.write(topic, message.__msgtype__, message, arrival * MS)
    reading = Reading(stamps=stamps)
    return read_bag(path, ROBOT, 25.0, IMAGE_AGE_S, JOINT_AGE_S, reading)


def bag_message(topic: str, stamp_ms: int, content: int) -> Any:
    """Return the same message as ``ros_message`` in the types of the bag writer."""
    types, live = typestore().types, ros_message(topic, stamp_ms, content)
    stamp = types['builtin_interfaces/msg/Time'](live.header.stamp.sec, live.header.stamp.nanosec)
    header = types['std_msgs/msg/Header'](stamp, live.header.frame_id)
    if topic in CAMERAS:
        pixels = np.frombuffer(live.data, np.uint8)
        size = (live.height, live.width, live.encoding, live.is_bigendian, live.step)
        return types[IMAGE](header, *size, pixels)
    none = np.zeros(0)
    return types[JOINT_STATE](header, list(live.name), np.array(live.position), none, none)


def ros_message(topic: str, stamp_ms: int, content: int) -> Any:
    """Return the ROS message of a stream."""
    if topic in CAMERAS:
        return image_message(
            np.full((240, 320, 3), 20 + content, np.uint8), stamp_ms * MS, 'camera'
        )
    if topic in ARMS:
        names = (*ARMS[topic].joints, 'left_finger')
        return joint_state_message(names, pose(content), stamp_ms * MS)
    return joint_state_message(ROBOT.joint_names, [0.001 * content] * 14, stamp_ms * MS)


class Live:
    """The running robot's observer, fed with what has arrived by a time."""

    def __init__(self, node: Node, messages: list[Message]) -> None:
        """Start with nothing but the task."""
        self.observer = Observer(node, ROBOT, IMAGE_AGE_S, JOINT_AGE_S)
        self.observer.on_task(String(data='move'))
        self._coming = list(messages)

    def arrive(self, until_ms: float) -> None:
        """Hand over what arrives until a time."""
        while self._coming and self._coming[0][0] <= until_ms:
            _, topic, stamp, content = self._coming.pop(0)
            message = ros_message(topic, stamp, content)
            if topic in CAMERAS:
                self.observer.on_image(CAMERAS[topic], message)
            elif topic in ARMS:
                self.observer.on_joints(ARMS[topic], message)

    def assert_sees(self, episode: Episode) -> None:
        """Check that the observation at every tick is that of the episode."""
        for tick, stamp_ns in enumerate(episode.stamps_ns.tolist()):
            self.arrive(stamp_ns / MS)
            seen = self.observer.observation(stamp_ns)
            np.testing.assert_array_equal(seen.proprio, episode.proprio[tick])
            assert seen.images.keys() == episode.images.keys()
            for name, image in seen.images.items():
                shown = episode.images[name][episode.image_index[name][tick]]
                np.testing.assert_array_equal(image, shown)


def test_arms_of_different_rates_are_sampled_alike(tmp_path: Path, node: Node) -> None:
    """At 200 ms the arm at 100 Hz has its 20th message, the one at 30 Hz its 6th."""
    messages = streams(400, follower_right=33)
    episode = recorded(tmp_path / 'a', messages)
    Live(node, messages).assert_sees(episode)
    assert len(episode.stamps_ns) == 10
    assert episode.proprio[5, 0] == pytest.approx(0.002 * 20)
    assert episode.proprio[5, 7] == pytest.approx(0.002 * 6)


def test_late_and_duplicate_messages_are_dropped_alike(tmp_path: Path, node: Node) -> None:
    """What is stamped before or as the newest message never shows, neither live nor recorded."""
    wrong = [
        (161, HIGH, 120, 201),
        (162, HIGH, 160, 202),
        (165, LEFT, 155, 90),
        (166, LEFT, 160, 90),
    ]
    messages = sorted(streams(400) + wrong)
    episode = recorded(tmp_path / 'a', messages)
    live = Live(node, messages)
    live.assert_sees(episode)
    assert episode.images['high'][:, 0, 0, 0].tolist() == [20, 21, 22, 23, 24]
    assert episode.proprio[:, 0].max() == pytest.approx(0.002 * 36)


def test_camera_that_falls_silent_is_refused_alike(tmp_path: Path, node: Node) -> None:
    """No old image passes for a current one: both name the camera, its age and the limit."""
    messages = [m for m in streams(2000) if m[1] != HIGH or m[2] < 200]
    reason = r'/high/image_raw is 280 ms old, limit 250 ms'
    with pytest.raises(ConfigError, match=reason):
        recorded(tmp_path / 'a', messages)
    live = Live(node, messages)
    live.arrive(440)
    with pytest.raises(TimeoutError, match=reason):
        live.observer.observation(440 * MS)


def test_clock_that_jumps_ahead_is_refused_alike(tmp_path: Path, node: Node) -> None:
    """Stamps leap 5 s at 200 ms: there is no observation in the leap, and there is one after.

    A bag is refused with what its clock did, unless a person trusts the headers.
    """
    messages = [
        (a, topic, s + 5000 * (s >= 200), content) for a, topic, s, content in streams(600)
    ]
    reason = '/follower_left/joint_states is 130 ms old, limit 100 ms'
    with pytest.raises(ConfigError, match=r'is stamped 5.000 s after its arrival by the median'):
        recorded(tmp_path / 'a', messages)
    with pytest.raises(ConfigError, match=reason):
        recorded(tmp_path / 'b', messages, 'header')
    live = Live(node, messages)
    live.arrive(400)
    with pytest.raises(TimeoutError, match=reason):
        live.observer.observation(320 * MS)
    assert live.observer.observation(5400 * MS).proprio[0] == pytest.approx(0.002 * 40)


def test_clock_that_jumps_back_ends_both(tmp_path: Path, node: Node) -> None:
    """Stamps fall 1 s back at 200 ms: nothing is newer any more, and nothing is mixed up."""
    messages = [
        (a, topic, s - 1000 * (s >= 200), content) for a, topic, s, content in streams(600)
    ]
    shifted = [(a + 1000, topic, s + 1000, content) for a, topic, s, content in messages]
    with pytest.raises(ConfigError, match=r'is stamped 1.000 s before its arrival by the median'):
        recorded(tmp_path / 'a', shifted)
    episode = recorded(tmp_path / 'b', shifted, 'header')
    # On the clock of the bag, which is that of most of its messages.
    assert (episode.stamps_ns // MS).tolist() == [2000, 2040, 2080, 2120, 2160]
    live = Live(node, shifted)
    live.assert_sees(replace(episode, stamps_ns=episode.stamps_ns - 1000 * MS))
    live.arrive(1600)
    with pytest.raises(TimeoutError, match=r'130 ms old.*refused: .*not newer than the last'):
        live.observer.observation(1320 * MS)

# SPDX-License-Identifier: Apache-2.0
"""The live observation equals the recorded one, and a stale stream is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.drivers.jpeg import encode_jpeg
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import image_message, joint_state_message
from cosmos_policy_ros.ros.observer import Observer
from node_bench import ros_node
from rclpy.clock import ROSClock
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from rosbags.rosbag2 import Reader
from samples import sample_image
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
JOINTS = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate')
MS = 1_000_000
START_NS = 1000 * MS


@pytest.fixture
def node() -> Iterator[Node]:
    """Return a node in a ROS domain of its own."""
    with ros_node('observer_test') as node:
        yield node


def fed(node: Node, stamp_ns: int, skip: str = '') -> Observer:
    """Return an observer that got one message of every stream but one."""
    observer = Observer(node, ROBOT, max_image_age_s=0.1, max_joint_age_s=0.05)
    observer.on_task(String(data='move'))
    for camera in ROBOT.cameras:
        if camera.topic != skip:
            image = np.full((240, 320, 3), 90, np.uint8)
            observer.on_image(camera, image_message(image, stamp_ns, ''))
    for arm in ROBOT.arms:
        if arm.joint_state_topic != skip:
            names = (*JOINTS, 'left_finger')
            observer.on_joints(arm, joint_state_message(names, [0.02] * 7, stamp_ns))
    return observer


def record(path: Path) -> None:
    """Write half a second of streams that are not in step, with one failed bus read."""
    rng = np.random.default_rng(0)
    with BagWriter(path, {'source': 'demo', 'success': 'true'}) as bag:
        bag.write_text('/task', 'move', START_NS)
        for k in range(50):
            stamp = START_NS + k * 10 * MS
            for i, camera in enumerate(ROBOT.cameras):
                if k % 8 == i:
                    image = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
                    bag.write_image(camera.topic, image, stamp + i)
            for i, arm in enumerate(ROBOT.arms):
                pose = np.full(7, -np.pi) if k == 22 else 0.001 * k + rng.normal(0, 0.001, 7)
                names = (*JOINTS, 'left_finger')
                bag.write_joints(arm.joint_state_topic, names, pose, stamp + i)
            bag.write_joints('/joint_command', ROBOT.joint_names, np.full(14, 0.01 * k), stamp)


def test_live_observation_equals_the_recorded_one(tmp_path: Path, node: Node) -> None:
    """The same messages give the same observation at every tick, live and from a bag."""
    record(tmp_path / 'a')
    episode = read_bag(tmp_path / 'a', ROBOT, 25.0)
    with Reader(tmp_path / 'a') as bag:
        messages = [(ns, c.topic, bytes(data)) for c, ns, data in bag.messages()]
    observer = Observer(node, ROBOT, max_image_age_s=0.25, max_joint_age_s=0.1)
    observer.on_task(String(data='move'))
    cameras = {c.topic: c for c in ROBOT.cameras}
    arms = {a.joint_state_topic: a for a in ROBOT.arms}
    tick = 0
    for bag_ns, topic, data in [*messages, (2**62, '', b'')]:
        while tick < len(episode.stamps_ns) and bag_ns > episode.stamps_ns[tick]:
            live = observer.observation(int(episode.stamps_ns[tick]))
            np.testing.assert_array_equal(live.proprio, episode.proprio[tick])
            for name, image in live.images.items():
                recorded = episode.images[name][episode.image_index[name][tick]]
                np.testing.assert_array_equal(image, recorded)
            tick += 1
        if topic in cameras:
            observer.on_image(cameras[topic], deserialize_message(data, Image))
        elif topic in arms:
            observer.on_joints(arms[topic], deserialize_message(data, JointState))
    assert tick == len(episode.stamps_ns) == 12


def test_observation_holds_every_stream(node: Node) -> None:
    """Three images, 14 joints and the task."""
    observation = fed(node, START_NS).observation(START_NS + 10 * MS)
    assert set(observation.images) == {'high', 'left_wrist', 'right_wrist'}
    assert (observation.proprio.shape, observation.task) == ((14,), 'move')


def test_stale_camera_is_named(node: Node) -> None:
    """The reason holds the topic, its age and the limit."""
    observer = fed(node, START_NS)
    with pytest.raises(TimeoutError, match='/high/image_raw is 120 ms old, limit 100 ms'):
        observer.observation(START_NS + 120 * MS)


def test_stale_arm_is_named(node: Node) -> None:
    """Joint states have a limit of their own."""
    observer = fed(node, START_NS)
    with pytest.raises(TimeoutError, match='/follower_left/joint_states is 60 ms old, limit 50'):
        observer.observation(START_NS + 60 * MS)


def test_missing_camera_is_named(node: Node) -> None:
    """A camera that never published is named."""
    observer = fed(node, START_NS, skip='/left_wrist/image_raw')
    with pytest.raises(TimeoutError, match='/left_wrist/image_raw: no message yet'):
        observer.observation(START_NS)


def test_missing_task_is_named(node: Node) -> None:
    """Without a task there is no observation."""
    observer = fed(node, START_NS)
    observer.on_task(String(data=''))
    with pytest.raises(TimeoutError, match='/task: no task yet'):
        observer.observation(START_NS)


def test_nan_joint_state_is_refused_with_its_reason(node: Node) -> None:
    """A NaN never reaches the policy; the reason is told when the stream gets stale."""
    observer = fed(node, START_NS)
    pose = [0.02] * 6 + [np.nan]
    message = joint_state_message((*JOINTS, 'left_finger'), pose, START_NS + 60 * MS)
    observer.on_joints(ROBOT.arms[0], message)
    with pytest.raises(TimeoutError, match=r'60 ms old.*refused: .*NaN or infinite position'):
        observer.observation(START_NS + 60 * MS)


def test_image_of_another_size_is_refused_with_both_sizes(node: Node) -> None:
    """A camera with another resolution than in the robot file is named."""
    observer = fed(node, START_NS, skip='/high/image_raw')
    message = image_message(np.zeros((480, 640, 3), np.uint8), START_NS, '')
    observer.on_image(ROBOT.cameras[0], message)
    with pytest.raises(TimeoutError, match='sends 640x480 images, the robot file has 320x240'):
        observer.observation(START_NS)


def test_good_message_ends_the_refusal(node: Node) -> None:
    """A reason does not outlive its cause."""
    observer = fed(node, START_NS)
    observer.on_joints(ROBOT.arms[0], JointState())
    names = (*JOINTS, 'left_finger')
    observer.on_joints(ROBOT.arms[0], joint_state_message(names, [0.02] * 7, START_NS + MS))
    assert observer.refused == {}


def test_ages_tell_every_stream(node: Node) -> None:
    """Ages are infinite for streams without a message."""
    observer = fed(node, START_NS, skip='/high/image_raw')
    ages = observer.ages_s(START_NS + 30 * MS)
    assert ages['/high/image_raw'] == np.inf
    assert ages['/left_wrist/image_raw'] == pytest.approx(0.03)


def test_messages_arrive_through_ros(node: Node) -> None:
    """The subscriptions are those of the robot file."""
    Observer(node, ROBOT, 0.1, 0.1)
    topics = [node.count_subscribers(c.topic) for c in ROBOT.cameras]
    topics += [node.count_subscribers(a.joint_state_topic) for a in ROBOT.arms]
    assert topics == [1, 1, 1, 1, 1]
    assert stamp_of(JointState()) == 0


def test_nothing_of_before_a_clock_was_set_back_is_used(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once, and what comes by the new time is taken as if it were the first."""
    told: list[str] = []
    observer = Observer(node, ROBOT, max_image_age_s=0.1, max_joint_age_s=0.05)
    monkeypatch.setattr(observer, '_log', SimpleNamespace(warning=told.append))
    observer.on_task(String(data='move'))
    clock = node.get_clock()
    clock._set_ros_time_is_active(True)
    set_clock(clock, 5000 * MS)
    sense(observer, 4900 * MS, level=90)
    sense(observer, 5000 * MS, level=120)
    assert observer.observation(5000 * MS).images['high'][0, 0, 0] == 120

    set_clock(clock, 4930 * MS)  # what is stamped 4900 ms was sensed 100 ms ago
    with pytest.raises(TimeoutError, match='/high/image_raw: no message yet'):
        observer.observation(4930 * MS)
    set_clock(clock, 4960 * MS)
    sense(observer, 4960 * MS, level=150)
    assert observer.observation(4960 * MS).images['high'][0, 0, 0] == 150
    assert observer.observation(4960 * MS).proprio[0] == pytest.approx(0.150)
    assert told == [
        'the clock was set back by 0.07 s; images and joint states of before are forgotten'
    ]


def set_clock(clock: ROSClock, now_ns: int) -> None:
    """Set the clock of a node."""
    clock.set_ros_time_override(Time(nanoseconds=now_ns, clock_type=clock.clock_type))


def sense(observer: Observer, stamp_ns: int, level: int) -> None:
    """Hand an observer a message of every stream, which tells its level."""
    for camera in ROBOT.cameras:
        image = np.full((240, 320, 3), level, np.uint8)
        observer.on_image(camera, image_message(image, stamp_ns, ''))
    for arm in ROBOT.arms:
        names, pose = (*JOINTS, 'left_finger'), [level * 1e-3] * 6 + [0.02]
        observer.on_joints(arm, joint_state_message(names, pose, stamp_ns))


def test_arms_of_one_topic_are_told_apart(node: Node) -> None:
    """A good message of the right arm's joints does not hide why the left arm's are refused."""
    robot = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'openarm.yaml')
    robot = replace(robot, cameras=())
    left, right = robot.arms
    observer = Observer(node, robot, max_image_age_s=0.1, max_joint_age_s=0.05)
    observer.on_task(String(data='move'))
    message = joint_state_message(right.state_joints, [0.02] * 8, START_NS)
    for arm in (left, right):
        observer.on_joints(arm, message)
    assert list(observer.refused) == ['/joint_states (left)']
    assert observer.ages_s(START_NS) == {
        '/joint_states (left)': np.inf,
        '/joint_states (right)': 0.0,
    }
    with pytest.raises(TimeoutError, match=r'/joint_states \(left\): no message yet.*lacks'):
        observer.observation(START_NS)
    both = [*left.state_joints, *right.state_joints]
    message = joint_state_message(both, [0.02] * 16, START_NS + 10 * MS)
    for arm in (left, right):
        observer.on_joints(arm, message)
    observation = observer.observation(START_NS + 10 * MS)
    assert observation.proprio[[7, 15]].tolist() == pytest.approx([0.02 / 0.044] * 2)


def test_compressed_camera_is_seen(node: Node) -> None:
    """As JPEG on the topic that image_transport makes of the camera's."""
    camera = replace(ROBOT.cameras[0], transport='compressed')
    robot = replace(ROBOT, cameras=(camera, *ROBOT.cameras[1:]))
    observer = Observer(node, robot, max_image_age_s=0.25, max_joint_age_s=0.1)
    topics = {subscription.topic_name for subscription in node.subscriptions}
    assert '/high/image_raw/compressed' in topics
    image = sample_image(3)
    message = CompressedImage(format='jpeg', data=encode_jpeg(image, 95))
    message.header.stamp.sec = 1
    observer.on_image(camera, message)
    assert camera.topic not in observer.refused
    assert observer.ages_s(10**9)[camera.topic] == 0.0


def test_arm_and_gripper_may_come_from_two_drivers(node: Node) -> None:
    """Each part has its own age; the one that is too old is what the observation waits for."""
    observer = fed(node, START_NS)
    left = ROBOT.arms[0]
    observer.on_joints(left, joint_state_message(JOINTS, [0.03] * 6, START_NS + 40 * MS))
    got = observer.observation(START_NS + 45 * MS)
    np.testing.assert_allclose(got.proprio[:6], 0.03)
    with pytest.raises(TimeoutError, match='/follower_left/joint_states is 60 ms old'):
        observer.observation(START_NS + 60 * MS)
    observer.on_joints(left, joint_state_message(['left_finger'], [0.02], START_NS + 55 * MS))
    right = joint_state_message((*JOINTS, 'left_finger'), [0.02] * 7, START_NS + 55 * MS)
    observer.on_joints(ROBOT.arms[1], right)
    assert observer.observation(START_NS + 60 * MS).proprio[0] == pytest.approx(0.03)


def test_stamps_of_zero_are_named(node: Node) -> None:
    """Else an image would be fifty years old."""
    observer = fed(node, START_NS, skip='/high/image_raw')
    image = np.full((240, 320, 3), 90, np.uint8)
    for _ in range(2):
        observer.on_image(ROBOT.cameras[0], image_message(image, 0, ''))
    camera = ROBOT.cameras[0].topic
    assert observer.refused[camera] == 'has no stamps, its headers are 0'


def test_order_of_colours_that_an_encoding_does_not_name_is_in_the_robot_file(node: Node) -> None:
    """The observation follows it, and one line says which was taken."""
    robot = replace(ROBOT, cameras=(replace(ROBOT.cameras[0], colours='rgb'),))
    observer = Observer(node, robot, max_image_age_s=0.1, max_joint_age_s=0.05)
    image = np.full((240, 320, 3), (200, 90, 10), np.uint8)
    message = image_message(image, START_NS, '')
    message.encoding = '8UC3'
    observer.on_image(robot.cameras[0], message)
    observer.on_task(String(data='move'))
    for arm in robot.arms:
        observer.on_joints(
            arm, joint_state_message((*JOINTS, 'left_finger'), [0.02] * 7, START_NS)
        )
    name = robot.cameras[0].name
    assert observer.observation(START_NS).images[name][0, 0].tolist() == [200, 90, 10]

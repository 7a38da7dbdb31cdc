# SPDX-License-Identifier: Apache-2.0
"""Episodes written as bags come back the same, and damaged ones are named."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
import resource
import subprocess
import sys

from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.data.episodes import list_episodes
from cosmos_policy_ros.outputs import OutputError
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import Reader
import zstandard

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
META = {'source': 'demo', 'task': 'move', 'success': 'true', 'robot': 'aloha_sim', 'seed': '7'}
START_NS = 1_000_000_000
CONTROL_NS = 20_000_000
JOINTS = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate')

FILL = """
import resource, signal, sys
from pathlib import Path
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.types import ConfigError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    with BagWriter(Path(sys.argv[2]), {}) as bag:
        bag.write_text('/task', 'move', 0)
except ConfigError as error:
    print(error)
"""


def record(
    path: Path, n: int = 20, skip: str = '', spoil: str = '', meta: dict[str, str] = META
) -> RobotSpec:
    """Write n control ticks: images every fourth tick, joints and commands at every tick.

    Args:
        path: Bag folder.
        n: Number of control ticks.
        skip: Topic that is left out.
        spoil: Topic whose last message holds a NaN.
        meta: Custom data.
    """
    with BagWriter(path, meta) as bag:
        if skip != '/task':
            bag.write_text('/task', 'move', START_NS)
        for k in range(n):
            stamp = START_NS + k * CONTROL_NS
            for i, camera in enumerate(ROBOT.cameras):
                if k % 4 == 0 and camera.topic != skip:
                    image = np.full((240, 320, 3), 10 * i + k, np.uint8)
                    bag.write_image(camera.topic, image, stamp)
            for arm in ROBOT.arms:
                nan = np.nan if spoil == arm.joint_state_topic and k == n - 1 else 0.0
                if arm.joint_state_topic != skip:
                    names = ('gripper', 'left_finger', 'right_finger', *JOINTS)
                    pose = [9.0, 0.058, -0.058, *(0.001 * k + nan + np.arange(6) * 0.1)]
                    bag.write_joints(arm.joint_state_topic, names, pose, stamp)
            if skip != '/joint_command':
                bag.write_joints('/joint_command', ROBOT.joint_names, np.full(14, 0.01 * k), stamp)
            bag.write_flag('/demonstration/expert', k < 10, stamp)
    return ROBOT


def test_a_bag_says_how_its_topics_are_to_be_published(tmp_path: Path) -> None:
    """``ros2 bag play`` offers that: the task to whoever comes late, images as drivers do."""
    record(tmp_path / 'a')
    with Reader(tmp_path / 'a') as bag:
        found = {
            c.topic: [(q.reliability, q.durability, q.depth) for q in c.ext.offered_qos_profiles]
            for c in bag.connections
        }
    reliable = QosReliability.RELIABLE
    assert found['/task'] == [(reliable, QosDurability.TRANSIENT_LOCAL, 1)]
    assert found['/high/image_raw'] == [(reliable, QosDurability.VOLATILE, 5)]


def test_every_second_control_tick_is_a_policy_tick(tmp_path: Path) -> None:
    """At 25 Hz the action of tick k is the command of control tick 2k."""
    record(tmp_path / 'a')
    episode = read_bag(tmp_path / 'a', ROBOT, 25.0)
    assert episode.stamps_ns.tolist() == [START_NS + 2 * k * CONTROL_NS for k in range(10)]
    np.testing.assert_allclose(episode.actions[:, 3], 0.02 * np.arange(10), rtol=1e-6)


def test_proprio_is_found_by_joint_name(tmp_path: Path) -> None:
    """The driver's own joint order and extra joints do not matter; the gripper is 0..1."""
    record(tmp_path / 'a')
    episode = read_bag(tmp_path / 'a', ROBOT, 25.0)
    wanted = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0] * 2)
    np.testing.assert_allclose(episode.proprio[0], wanted, atol=1e-6)


def test_each_frame_is_held_until_the_next(tmp_path: Path) -> None:
    """Images at 12.5 Hz fill two ticks of 25 Hz and are kept once."""
    record(tmp_path / 'a')
    episode = read_bag(tmp_path / 'a', ROBOT, 25.0)
    assert episode.images['left_wrist'][:, 0, 0, 0].tolist() == [10, 14, 18, 22, 26]
    assert episode.image_index['left_wrist'].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize('opened', [0.058, 0.0579])
def test_another_gripper_scale_than_the_robot_file_of_the_bag_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, opened: float
) -> None:
    """With what it was and is, and what to do; the same scale is no news."""
    text = ROBOT_FILE.read_text(encoding='utf-8').replace(
        'state_open: 0.058 ', f'state_open: {opened} ', 1
    )
    record(tmp_path / 'a', meta={**META, 'robot_yaml': text})
    read_bag(tmp_path / 'a', ROBOT, 25.0)
    said = [r.getMessage().partition(': ')[2] for r in caplog.records]
    other = (
        'recorded with another gripper scale: state_open of follower_left was 0.0579, is 0.058; '
        'record it again, or train and replay with the robot file of that time'
    )
    assert said == ([] if opened == 0.058 else [other])


def test_ticks_start_when_every_stream_has_data(tmp_path: Path) -> None:
    """A camera that starts late moves the first tick."""
    with BagWriter(tmp_path / 'a', META) as bag:
        bag.write_text('/task', 'move', 0)
        for k in range(8):
            stamp = START_NS + k * CONTROL_NS
            for camera in ROBOT.cameras:
                if k >= 3 or camera.name != 'high':
                    bag.write_image(camera.topic, np.zeros((240, 320, 3), np.uint8), stamp)
            for arm in ROBOT.arms:
                bag.write_joints(
                    arm.joint_state_topic, (*JOINTS, 'left_finger'), [0.02] * 7, stamp
                )
            bag.write_joints('/joint_command', ROBOT.joint_names, np.zeros(14), stamp)
    episode = read_bag(tmp_path / 'a', ROBOT, 50.0)
    assert episode.stamps_ns[0] == START_NS + 3 * CONTROL_NS


def test_metadata_and_expert_flags_arrive(tmp_path: Path) -> None:
    """Source, task, success and the expert flag of each tick are the recorded ones."""
    record(tmp_path / 'a')
    episode = read_bag(tmp_path / 'a', ROBOT, 25.0)
    assert (episode.source, episode.task, episode.success) == ('demo', 'move', True)
    assert episode.expert.tolist() == [True] * 5 + [False] * 5


def test_bag_reads_the_same_in_other_tools(tmp_path: Path) -> None:
    """The folder is a plain rosbag2 bag with the running stack's topics and types."""
    record(tmp_path / 'a')
    with Reader(tmp_path / 'a') as bag:
        types = {c.topic: c.msgtype for c in bag.connections}
    assert types['/high/image_raw'] == 'sensor_msgs/msg/Image'
    assert types['/joint_command'] == 'sensor_msgs/msg/JointState'
    assert types['/task'] == 'std_msgs/msg/String'


def test_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    """A second writer to the same folder is refused."""
    record(tmp_path / 'a')
    with pytest.raises(FileExistsError, match='not overwritten'):
        BagWriter(tmp_path / 'a', META)


def test_failed_recording_leaves_nothing(tmp_path: Path) -> None:
    """An exception while recording removes the unfinished folder."""
    with suppress(KeyboardInterrupt), BagWriter(tmp_path / 'a', META) as bag:
        bag.write_text('/task', 'move', 0)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('size', [20, 1000])  # [bytes] that fit: not the begin, not the end
def test_a_full_disk_leaves_nothing_of_a_bag(tmp_path: Path, size: int) -> None:
    """And is one line that names the bag; nor may what is buffered make another error of it."""
    done = subprocess.run(
        [sys.executable, '-c', FILL, str(size), tmp_path / 'a'],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert f'{tmp_path / "a"}: the disk is full' in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_bag_that_is_unpacked_to_a_full_disk_is_not_damaged(tmp_path: Path) -> None:
    """What can be done is said: another disk for temporary files."""
    packed = tmp_path / 'a.mcap.zstd'
    packed.write_bytes(zstandard.compress(bytes(100_000)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OutputError, match='set TMPDIR to a folder on another disk'):
            read_metadata(packed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_one_topic_has_one_type(tmp_path: Path) -> None:
    """A second type on a topic is refused before it spoils the bag."""
    with BagWriter(tmp_path / 'a', META) as bag:
        bag.write_text('/task', 'move', 0)
        with pytest.raises(ValueError, match='is a topic of std_msgs/msg/String'):
            bag.write_flag('/task', flag=True, stamp_ns=1)


@pytest.mark.parametrize('topic', ['/high/image_raw', '/joint_command'])
def test_missing_topic_is_named(tmp_path: Path, topic: str) -> None:
    """A bag without a needed topic is refused with its name."""
    record(tmp_path / 'a', skip=topic)
    with pytest.raises(ConfigError, match=f'a: no topic {topic}; the bag has '):
        read_bag(tmp_path / 'a', ROBOT, 25.0)


def test_nan_is_refused(tmp_path: Path) -> None:
    """A NaN in a joint state names the episode and the joints."""
    record(tmp_path / 'a', spoil='/follower_left/joint_states')
    with pytest.raises(ConfigError, match=r'a: at 0.38 s: /follower_left/joint_states has a NaN'):
        read_bag(tmp_path / 'a', ROBOT, 25.0)


def test_gap_in_a_stream_is_refused(tmp_path: Path) -> None:
    """Images older than the limit are not passed off as current."""
    record(tmp_path / 'a')
    with pytest.raises(ConfigError, match='high/image_raw is 40 ms old, limit 30 ms'):
        read_bag(tmp_path / 'a', ROBOT, 25.0, max_image_age_s=0.03)


def test_failed_bus_read_is_left_out(tmp_path: Path) -> None:
    """A joint state with every joint at -pi is dropped and the one before is held."""
    with BagWriter(tmp_path / 'a', META) as bag:
        bag.write_text('/task', 'move', 0)
        for k in range(6):
            stamp = START_NS + k * CONTROL_NS
            for camera in ROBOT.cameras:
                bag.write_image(camera.topic, np.zeros((240, 320, 3), np.uint8), stamp)
            for arm in ROBOT.arms:
                pose = [-np.pi] * 7 if k == 3 else [*[0.1] * 6, 0.04]
                bag.write_joints(arm.joint_state_topic, (*JOINTS, 'left_finger'), pose, stamp)
            bag.write_joints('/joint_command', ROBOT.joint_names, np.zeros(14), stamp)
    episode = read_bag(tmp_path / 'a', ROBOT, 50.0)
    np.testing.assert_allclose(episode.proprio[:, 0], 0.1, rtol=1e-6)


def test_wrong_success_is_refused(tmp_path: Path) -> None:
    """Only true and false are outcomes."""
    record(tmp_path / 'a', meta={**META, 'success': 'yes'})
    with pytest.raises(ConfigError, match="'success' must be 'true' or 'false', got 'yes'"):
        read_bag(tmp_path / 'a', ROBOT, 25.0)


@pytest.mark.parametrize('kept', [0.0, 0.01])
def test_bag_without_a_whole_message_is_named(tmp_path: Path, kept: float) -> None:
    """A bag cut at its beginning is one clear error with the episode's path."""
    record(tmp_path / 'good')
    record(tmp_path / 'torn')
    mcap = tmp_path / 'torn' / 'torn.mcap'
    mcap.write_bytes(mcap.read_bytes()[: int(kept * mcap.stat().st_size)])
    good, torn = (stored.path for stored in list_episodes(tmp_path))
    assert read_bag(good, ROBOT, 25.0).success
    with pytest.raises(ConfigError, match='torn cannot be read'):
        read_bag(torn, ROBOT, 25.0)


def test_folder_without_episodes_says_how_to_record(tmp_path: Path) -> None:
    """An empty or missing folder names the command that fills it."""
    with pytest.raises(ConfigError, match='cosmos-policy demonstrate'):
        list_episodes(tmp_path / 'none')


def test_gripper_table_that_was_added_since_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A bag of before it has none; the commands in it are other distances of the fingers."""
    record(tmp_path / 'a', meta={**META, 'robot_yaml': ROBOT_FILE.read_text(encoding='utf-8')})
    left, right = ROBOT.arms
    assert left.gripper is not None
    closed, opened = left.gripper.command_closed, left.gripper.command_open
    bent = replace(left.gripper, command_between=((0.5, closed + 0.6 * (opened - closed)),))
    robot = replace(ROBOT, arms=(replace(left, gripper=bent), right))
    read_bag(tmp_path / 'a', robot, 25.0)
    assert 'another gripper scale: command_between of follower_left was (), is ((' in caplog.text


@pytest.mark.parametrize('robot_yaml', ['arms: [', '- 1', 'arms: [1]', 'a: ' + '[' * 200_000])
def test_damaged_robot_file_in_a_bag_says_nothing_about_grippers(
    tmp_path: Path, robot_yaml: str
) -> None:
    """Nor does it end the process, as a hundred thousand lists in each other would."""
    record(tmp_path / 'a', meta={**META, 'robot_yaml': robot_yaml})
    assert read_bag(tmp_path / 'a', ROBOT, 25.0).proprio.shape[1] == 14

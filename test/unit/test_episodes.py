# SPDX-License-Identifier: Apache-2.0
"""Episodes of every format are recognised by content and come back the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cosmos_policy_ros.data.assemble import read_circumstances
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.data.episodes import (
    check_episodes,
    list_episodes,
    read_episode,
    StoredEpisode,
)
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.data.lerobot.writer import LeRobotWriter
from cosmos_policy_ros.types import Circumstances, ConfigError
import numpy as np
import pytest
from rosbags.rosbag2 import Reader
from samples import assert_same_episode, ROBOT, sample_episode


def test_bag_of_an_episode_reads_the_same(tmp_path: Path) -> None:
    """Stamps, joints, actions, flags, labels and every pixel."""
    episode = sample_episode(source='rollout', success=False)
    write_bag(tmp_path / 'a', episode, ROBOT)
    assert_same_episode(read_episode(StoredEpisode('bag', tmp_path / 'a'), ROBOT), episode)


def test_circumstances_are_told_in_the_words_of_data_sets(tmp_path: Path) -> None:
    """A tool that knows none of ours finds them in the custom data."""
    write_bag(tmp_path / 'a', sample_episode(), ROBOT)
    about = read_metadata(tmp_path / 'a')
    assert {name: about[name] for name in ('operator_id', 'is_eval_episode', 'progress')} == {
        'operator_id': 'Ada',
        'is_eval_episode': 'true',
        'progress': '0.75',
    }


def test_circumstances_that_cannot_be_are_left_out_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody learns from them, so that they cost no episode; an older name is known."""
    about = {'operator': 'Ada', 'progress': '75', 'is_eval_episode': 'maybe', 'robot_id': ''}
    assert read_circumstances(about | {'operator_id': 'Bob'}, 'x') == Circumstances('Bob')
    assert 'x: progress is left out: progress must be 0 to 1, got 75.0' in caplog.text
    assert "x: is_eval_episode is left out: expected 'true' or 'false', got 'maybe'" in caplog.text


def test_bag_of_an_unjudged_episode_stays_unjudged(tmp_path: Path) -> None:
    """No verdict is no verdict."""
    write_bag(tmp_path / 'a', sample_episode(success=None), ROBOT)
    assert read_episode(StoredEpisode('bag', tmp_path / 'a'), ROBOT).success is None


def test_bag_has_each_frame_once(tmp_path: Path) -> None:
    """A frame that several ticks show is one message, on the topics of the robot file."""
    write_bag(tmp_path / 'a', sample_episode(), ROBOT)
    with Reader(tmp_path / 'a') as bag:
        counts = {topic: info.msgcount for topic, info in bag.topics.items()}
        about = dict(bag.storage.metadata.custom)
    assert counts == {
        '/task': 1,
        '/high/image_raw': 3,
        '/left_wrist/image_raw': 3,
        '/right_wrist/image_raw': 3,
        '/follower_left/joint_states': 12,
        '/follower_right/joint_states': 12,
        '/joint_command': 12,
        '/demonstration/expert': 12,
        '/human_intervention': 2,
    }
    assert (about['robot'], about['rate_hz']) == ('aloha_sim', '50.0')


def test_bag_of_images_of_another_size_is_refused(tmp_path: Path) -> None:
    """The robot's cameras send 320x240."""
    small = {c.name: np.zeros((3, 256, 256, 3), np.uint8) for c in ROBOT.cameras}
    with pytest.raises(ConfigError, match='high is 256x256 px, the robot file has 320x240'):
        write_bag(tmp_path / 'a', sample_episode(images=small), ROBOT)
    assert not (tmp_path / 'a').exists()


def test_bag_of_another_robot_is_refused(tmp_path: Path) -> None:
    """The bag says whose it is."""
    write_bag(tmp_path / 'a', sample_episode(), ROBOT)
    with pytest.raises(ConfigError, match=r"a: it is of robot 'aloha_sim', .* is of 'other'"):
        read_episode(StoredEpisode('bag', tmp_path / 'a'), replace(ROBOT, name='other'))


def test_folder_of_bags_is_recognised(tmp_path: Path) -> None:
    """An unfinished bag is left out, a damaged one listed, so that reading names it."""
    write_bag(tmp_path / 'a', sample_episode(), ROBOT)
    (tmp_path / 'b').mkdir()
    (tmp_path / 'b' / 'metadata.yaml').write_text('')
    (tmp_path / 'c.partial').mkdir()
    assert [(e.format, e.name) for e in list_episodes(tmp_path)] == [('bag', 'a'), ('bag', 'b')]


def test_one_bag_is_recognised(tmp_path: Path) -> None:
    """The folder of the bag itself may be given."""
    write_bag(tmp_path / 'a', sample_episode(), ROBOT)
    assert list_episodes(tmp_path / 'a') == [StoredEpisode('bag', tmp_path / 'a')]


def test_hdf5_files_are_recognised_and_counted_by_number(tmp_path: Path) -> None:
    """10 follows 9, whatever the ending; videos and notes beside are no episodes."""
    for name in ('episode_10.hdf5', 'episode_9.hdf5', 'episode_8'):
        write_hdf5(tmp_path / name, sample_episode(n=1), ROBOT)
    (tmp_path / 'episode_9_cam_high.mp4').write_bytes(b'')
    names = [e.name for e in list_episodes(tmp_path)]
    assert names == ['episode_8', 'episode_9.hdf5', 'episode_10.hdf5']
    assert {e.format for e in list_episodes(tmp_path)} == {'hdf5'}


def test_damaged_hdf5_file_is_listed(tmp_path: Path) -> None:
    """A file that lost its beginning is known by its ending, and named when it is read."""
    (tmp_path / 'episode_0.hdf5').write_bytes(b'nothing')
    (stored,) = list_episodes(tmp_path)
    with pytest.raises(ConfigError, match=r'episode .*episode_0.hdf5'):
        read_episode(stored, ROBOT)


def test_lerobot_data_set_is_recognised(tmp_path: Path) -> None:
    """Its episodes are numbered."""
    with LeRobotWriter(tmp_path / 'set', ROBOT, 50.0) as data_set:
        data_set.add(sample_episode(0, n=4))
        data_set.add(sample_episode(1, n=4))
    stored = list_episodes(tmp_path / 'set')
    assert [e.name for e in stored] == ['episode_000000', 'episode_000001']
    got = read_episode(stored[1], ROBOT)
    np.testing.assert_array_equal(got.actions, sample_episode(1, n=4).actions)


@pytest.mark.parametrize('name', ['.', 'none'])
def test_path_without_episodes_says_how_to_record(tmp_path: Path, name: str) -> None:
    """An empty or missing folder names the command that fills it."""
    with pytest.raises(ConfigError, match=r'no episodes in .*; record some with: cosmos-policy d'):
        list_episodes(tmp_path / name)


def test_slower_grid_takes_the_newest_row(tmp_path: Path) -> None:
    """At 20 Hz the ticks at 0, 50 and 100 ms have the rows of 0, 40 and 100 ms."""
    episode = sample_episode()
    write_hdf5(tmp_path / 'a.hdf5', episode, ROBOT)
    got = read_episode(StoredEpisode('hdf5', tmp_path / 'a.hdf5'), ROBOT, 20.0)
    np.testing.assert_array_equal(got.actions, episode.actions[[0, 2, 5, 7, 10]])
    assert got.image_index['high'].tolist() == [0, 0, 1, 1, 2]
    assert got.rate_hz == 20.0


def test_slower_grid_is_that_of_a_bag(tmp_path: Path) -> None:
    """Rows and messages of the same episode are thinned out alike."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    write_bag(tmp_path / 'b', sample_episode(), ROBOT)
    rows = read_episode(StoredEpisode('hdf5', tmp_path / 'a.hdf5'), ROBOT, 15.0)
    messages = read_episode(StoredEpisode('bag', tmp_path / 'b'), ROBOT, 15.0)
    assert_same_episode(rows, messages)


def test_rows_are_not_made_up(tmp_path: Path) -> None:
    """A faster grid than the recorded one is refused."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    with pytest.raises(ConfigError, match=r'a.hdf5: it has 50 rows per second, 100 are wanted'):
        read_episode(StoredEpisode('hdf5', tmp_path / 'a.hdf5'), ROBOT, 100.0)


def test_recorded_bag_has_the_control_rate_of_the_robot(tmp_path: Path) -> None:
    """A bag that was not converted from rows says no rate."""
    with BagWriter(tmp_path / 'a', {'source': 'demo', 'success': 'true'}) as bag:
        bag.write_text('/task', 'move', 0)
        for k in range(5):
            for camera in ROBOT.cameras:
                bag.write_image(camera.topic, np.zeros((240, 320, 3), np.uint8), k * 10**7)
            for arm in ROBOT.arms:
                names = (*arm.joints, 'left_finger')
                bag.write_joints(arm.joint_state_topic, names, [0.02] * 7, k * 10**7)
            bag.write_joints('/joint_command', ROBOT.joint_names, np.zeros(14), k * 10**7)
    assert read_episode(StoredEpisode('bag', tmp_path / 'a'), ROBOT).rate_hz == 50.0


def test_rows_of_a_converted_bag_are_not_made_up(tmp_path: Path) -> None:
    """As those of a file or a data set: a command would count several times."""
    write_bag(tmp_path / 'a', sample_episode(), ROBOT)
    assert len(read_bag(tmp_path / 'a', ROBOT, 25.0).actions) == 6
    with pytest.raises(ConfigError, match='it has 50 rows per second, 100 are wanted'):
        read_bag(tmp_path / 'a', ROBOT, 100.0)


@pytest.mark.parametrize(
    ('name', 'told'),
    [
        ('1.0.0/fold-train.tfrecord-00000-of-00008', 'of RLDS, which is not read: make a LeRobot'),
        (
            '2016-01-01.bag',
            'a bag of ROS 1, which is not read: rosbags-convert makes one of ROS 2',
        ),
        ('replay_buffer.zarr/data/.zarray', 'of Zarr, which is not read: make ALOHA HDF5'),
        ('chunk-000/file-000.parquet', 'a part of a LeRobot data set: give the folder that holds'),
        ('chunk-000/episode_000003.parquet', 'a part of a LeRobot data set: give the folder'),
        ('monday.tar.gz', 'packed: unpack it first'),
        ('fold_0.mcap.gz', 'packed: unpack it first'),
        ('fold/fold_0.mcap.part', 'not finished by what records, copies or loads it: let that'),
        ('fold/fold_0.mcap.active', 'not finished by what records, copies or loads it'),
    ],
)
def test_what_is_not_read_is_named_with_what_to_do(tmp_path: Path, name: str, told: str) -> None:
    """In place of how to record."""
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    with pytest.raises(ConfigError, match=f'no episodes in {tmp_path}; {file} is {told}'):
        list_episodes(tmp_path)
    with pytest.raises(ConfigError, match=f'{file} is {told}'):
        list_episodes(file)


@pytest.mark.parametrize('name', ['episode_0.hdf5', 'fold/fold_0.mcap', 'fold/fold_0.db3'])
def test_pointer_of_git_lfs_is_told_with_what_brings_the_file(tmp_path: Path, name: str) -> None:
    """Most that is cloned without it is no more than that."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123456\n')
    (reason,) = check_episodes(list_episodes(tmp_path)).values()
    assert reason.endswith(f'{file} is a pointer of Git LFS: git lfs pull brings the file')


def test_file_that_cannot_be_read_at_all_is_told(tmp_path: Path) -> None:
    """Of another user, or on a bad disk: looking for what it is ends in no traceback."""
    file = tmp_path / 'a.hdf5'
    file.symlink_to('/proc/self/mem')  # opens, and its first byte cannot be read
    (reason,) = check_episodes(list_episodes(tmp_path)).values()
    assert reason.startswith(f'episode {file}: ')


def test_file_that_is_nothing_known_is_told(tmp_path: Path) -> None:
    """It was taken for a damaged HDF5 file."""
    (tmp_path / 'notes.txt').write_text('fold', encoding='utf-8')
    with pytest.raises(ConfigError, match=r'notes.txt is no bag, HDF5 file or data set'):
        list_episodes(tmp_path / 'notes.txt')


def test_link_back_to_a_folder_above_brings_no_episode_twice(tmp_path: Path) -> None:
    """Not even by way of another folder, nor out of the one that was given."""
    for name in ('monday', 'tuesday'):
        (tmp_path / 'data' / name).mkdir(parents=True)
        write_hdf5(tmp_path / 'data' / name / 'episode_0.hdf5', sample_episode(), ROBOT)
    (tmp_path / 'data' / 'monday' / 'all').symlink_to(tmp_path / 'data')
    (tmp_path / 'data' / 'tuesday' / 'home').symlink_to(tmp_path)
    names = [stored.name for stored in list_episodes(tmp_path / 'data')]
    assert names == ['monday-episode_0.hdf5', 'tuesday-episode_0.hdf5']


def test_bag_of_one_row_at_the_beginning_of_time_is_read(tmp_path: Path) -> None:
    """Files of others say no date; an only image is then stamped 0, and came then."""
    episode = sample_episode(n=1, stamps_ns=np.zeros(1, np.int64))
    write_bag(tmp_path / 'a', episode, ROBOT)
    assert_same_episode(read_episode(StoredEpisode('bag', tmp_path / 'a'), ROBOT), episode)


def test_link_to_what_is_gone_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of a store that is not mounted, or of git-annex without the file."""
    write_hdf5(tmp_path / 'episode_0.hdf5', sample_episode(), ROBOT)
    (tmp_path / 'episode_1.hdf5').symlink_to('/nowhere/at/all.hdf5')
    assert [stored.path.name for stored in list_episodes(tmp_path)] == ['episode_0.hdf5']
    assert 'episode_1.hdf5: passed over, since it is a link to what is not there' in caplog.text

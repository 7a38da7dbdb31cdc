# SPDX-License-Identifier: Apache-2.0
"""Velocities and efforts travel whole through every format, or are left out and told."""

from __future__ import annotations

import logging
from pathlib import Path
import re
from typing import Any

from cosmos_policy_ros.cli.convert import Convert, run
from cosmos_policy_ros.data.assemble import at_rate
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.data.convert import content, verify
from cosmos_policy_ros.data.episodes import list_episodes, read_episode, StoredEpisode
from cosmos_policy_ros.data.hdf5 import read_hdf5, write_hdf5
from cosmos_policy_ros.types import ConfigError, Episode
import h5py
import numpy as np
import pytest
from samples import assert_same_episode, motion, ROBOT, sample_episode, START_NS

STILL = sample_episode()  # holds neither stream
MOVING = sample_episode(**motion())
FAST = sample_episode(velocity=motion()['velocity'])  # no efforts
LEFT, RIGHT = (arm.joint_state_topic for arm in ROBOT.arms)


def convert(src: Path, dst: Path, to: Any) -> Path:
    """Run the command."""
    assert run(Convert(src, dst, to=to)) == 0
    return dst


def only(path: Path) -> Episode:
    """Return the one episode of a path."""
    (stored,) = list_episodes(path)
    return read_episode(stored, ROBOT)


def record(path: Path, streams: dict[str, Any], n: int = 8) -> Path:
    """Write a bag in the driver's own joint order.

    Args:
        path: Bag folder.
        streams: Topic -> function from the tick to velocities and efforts of the nine joints.
        n: Number of ticks at 50 Hz.
    """
    names = ('gripper', 'left_finger', 'right_finger', *ROBOT.arms[0].joints)
    with BagWriter(path, {'source': 'demo', 'success': 'true', 'robot': 'aloha_sim'}) as bag:
        bag.write_text('/task', 'move', START_NS)
        for k in range(n):
            stamp_ns = START_NS + k * 20_000_000
            for camera in ROBOT.cameras:
                bag.write_image(camera.topic, np.zeros((240, 320, 3), np.uint8), stamp_ns)
            for topic in (LEFT, RIGHT):
                pose = [9.0, 0.058, -0.058, *(0.1 * np.arange(6))]
                told = streams[topic](k) if topic in streams else ((), ())
                bag.write_joints(topic, names, pose, stamp_ns, *told)
            bag.write_joints('/joint_command', ROBOT.joint_names, np.zeros(14), stamp_ns)
    return path


def told(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return velocities and efforts of a tick: motor, two fingers [m/s], six joints."""
    fingers = (0.058 - 0.01844) * k
    return np.array([7.0, fingers, -fingers, *range(6)]), 100.0 * k + np.arange(9)


@pytest.mark.parametrize('to', ['hdf5', 'hdf5-cosmos', 'lerobot'])
@pytest.mark.parametrize('episode', [MOVING, FAST, STILL], ids=['both', 'velocity', 'none'])
def test_bag_comes_back_from_every_format(tmp_path: Path, to: Any, episode: Episode) -> None:
    """Every number of a stream is the one written, and a stream that was not there is not."""
    write_bag(tmp_path / 'bag', episode, ROBOT)
    assert_same_episode(only(tmp_path / 'bag'), episode)
    there = convert(tmp_path / 'bag', tmp_path / 'there', to)
    assert_same_episode(only(there), episode, np.inf if to == 'hdf5' else 35.0)
    back = convert(there, tmp_path / 'back', 'bag')
    assert_same_episode(only(back), episode, np.inf if to == 'hdf5' else 35.0)


def test_streams_are_found_by_joint_name(tmp_path: Path) -> None:
    """Gripper velocities count in openings per second; efforts keep the driver's unit."""
    episode = read_bag(record(tmp_path / 'a', {LEFT: told, RIGHT: told}), ROBOT, 25.0)
    assert episode.velocity is not None
    assert episode.effort is not None
    np.testing.assert_allclose(episode.velocity[2], [0, 1, 2, 3, 4, 5, 4] * 2, rtol=1e-6)
    np.testing.assert_array_equal(episode.effort[1], [203, 204, 205, 206, 207, 208, 201] * 2)


def test_ticks_take_streams_from_the_message_of_the_positions(tmp_path: Path) -> None:
    """A failed bus read is dropped with its velocities, and those before it are held."""
    names = ROBOT.arms[0].state_joints
    with BagWriter(tmp_path / 'a', {'source': 'demo'}) as bag:
        bag.write_text('/task', 'move', START_NS)
        for k in range(6):
            stamp_ns = START_NS + k * 20_000_000
            for camera in ROBOT.cameras:
                bag.write_image(camera.topic, np.zeros((240, 320, 3), np.uint8), stamp_ns)
            for topic in (LEFT, RIGHT):
                pose = [-np.pi if k == 3 else 0.02] * 7
                bag.write_joints(topic, names, pose, stamp_ns, np.full(7, k), np.full(7, k))
            bag.write_joints('/joint_command', ROBOT.joint_names, np.zeros(14), stamp_ns)
    episode = read_bag(tmp_path / 'a', ROBOT, 50.0)
    assert episode.velocity is not None
    assert episode.velocity[:, 0].tolist() == [0, 1, 2, 2, 4, 5]


def nan(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a NaN velocity in tick 4."""
    velocity, effort = told(k)
    velocity[5] = np.nan if k == 4 else velocity[5]
    return velocity, effort


@pytest.mark.parametrize(
    ('right', 'reason'),
    [
        (lambda _: ((), told(0)[1]), 'lacks it at 8 of 8 ticks'),
        (lambda k: told(k) if k < 5 else ((), told(k)[1]), 'lacks it at 3 of 8 ticks'),
        (lambda k: (told(k)[0][:7], told(k)[1]), 'lacks it at 8 of 8 ticks'),
        (nan, 'has a NaN or infinite number at 1 of 8 ticks'),
    ],
    ids=['one arm', 'some messages', 'too short', 'nan'],
)
def test_part_of_a_stream_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, right: Any, reason: str
) -> None:
    """One line names the episode and the arm; positions and the other stream stay."""
    record(tmp_path / 'a', {LEFT: told, RIGHT: right})
    with caplog.at_level(logging.WARNING):
        episode = read_bag(tmp_path / 'a', ROBOT, 50.0)
    assert episode.velocity is None
    assert episode.effort is not None
    np.testing.assert_allclose(episode.proprio[4, :3], [0.0, 0.1, 0.2], rtol=1e-6)
    (line,) = caplog.messages
    assert line == f'episode {tmp_path}/a: velocity is left out: {RIGHT} {reason}'


@pytest.mark.parametrize('to', ['hdf5', 'lerobot'])
def test_one_arm_s_streams_do_not_reach_a_data_set(tmp_path: Path, to: Any) -> None:
    """The bag is converted without them, and back."""
    record(tmp_path / 'bag', {LEFT: told})
    there = convert(tmp_path / 'bag', tmp_path / 'there', to)
    back = only(convert(there, tmp_path / 'back', 'bag'))
    assert (back.velocity, back.effort) == (None, None)
    np.testing.assert_array_equal(back.proprio, only(tmp_path / 'bag').proprio)


def test_recording_without_streams_is_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Interbotix' simulated driver sends neither; that is nothing to report."""
    with caplog.at_level(logging.WARNING):
        episode = read_bag(record(tmp_path / 'a', {}), ROBOT, 50.0)
    assert (episode.velocity, episode.effort, caplog.messages) == (None, None, [])


def test_file_is_what_act_s_loader_reads(tmp_path: Path) -> None:
    """The accesses of ACT's ``EpisodicDataset`` and ``get_norm_stats``, by absolute names."""
    write_hdf5(tmp_path / 'episode_0.hdf5', MOVING, ROBOT)
    with h5py.File(tmp_path / 'episode_0.hdf5', 'r') as root:
        assert root.attrs['sim']
        assert root['/action'].shape == (12, 14)
        np.testing.assert_array_equal(root['/observations/qpos'][5], MOVING.proprio[5])
        np.testing.assert_array_equal(root['/observations/qvel'][5], motion()['velocity'][5])
        np.testing.assert_array_equal(root['/observations/effort'][5], motion()['effort'][5])
        for name in ('cam_high', 'cam_left_wrist', 'cam_right_wrist'):
            assert root[f'/observations/images/{name}'][5].shape == (240, 320, 3)
        assert root['/action'][max(0, 5 - 1) :].shape == (8, 14)
        assert root['/observations/qvel'][()].dtype == np.float32


@pytest.mark.parametrize(
    ('rows', 'reason'),
    [(np.full((12, 14), np.nan), '168 NaN or infinite'), (np.zeros((12, 16)), 'shape .12, 16.')],
)
def test_bad_rows_of_a_file_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rows: np.ndarray, reason: str
) -> None:
    """A velocity nobody can use does not cost the episode."""
    write_hdf5(tmp_path / 'a.hdf5', MOVING, ROBOT)
    with h5py.File(tmp_path / 'a.hdf5', 'a') as file:
        del file['observations/qvel']
        file['observations/qvel'] = rows
    with caplog.at_level(logging.WARNING):
        episode = read_hdf5(tmp_path / 'a.hdf5', ROBOT)
    assert episode.velocity is None
    np.testing.assert_array_equal(episode.effort, MOVING.effort)
    assert re.search(f'a.hdf5: observations/qvel is left out: {reason}', caplog.text)


def test_slower_grid_keeps_streams_beside_their_positions(tmp_path: Path) -> None:
    """Rows are thinned out together, and like the messages of a bag."""
    slow = at_rate(MOVING, 15.0)
    rows = [0, 3, 6, 10]
    np.testing.assert_array_equal(slow.proprio, MOVING.proprio[rows])
    np.testing.assert_array_equal(slow.velocity, motion()['velocity'][rows])
    np.testing.assert_array_equal(slow.effort, motion()['effort'][rows])
    write_bag(tmp_path / 'a', MOVING, ROBOT)
    assert_same_episode(read_episode(StoredEpisode('bag', tmp_path / 'a'), ROBOT, 15.0), slow)


def test_velocity_that_reads_back_differently_is_an_error(tmp_path: Path) -> None:
    """By the last bit, or not at all."""
    stored = StoredEpisode('bag', tmp_path / 'a')
    write_bag(stored.path, MOVING, ROBOT)
    other = motion()
    other['effort'][3, 3] = np.nextafter(other['effort'][3, 3], np.float32(9))
    for wanted, name in ((sample_episode(**other), 'effort'), (STILL, 'velocity')):
        with pytest.raises(ConfigError, match=f'a was not written well: {name} differs'):
            verify([stored], [content(wanted)], [stored], ROBOT)


def test_stream_of_another_length_is_refused() -> None:
    """An episode has a row per tick and a number per joint."""
    with pytest.raises(ValueError, match=r'episode effort must have shape \(12, 14\)'):
        sample_episode(effort=np.zeros((12, 13), np.float32))

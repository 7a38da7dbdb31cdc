# SPDX-License-Identifier: Apache-2.0
"""Training data from every format, without the episodes that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
import json
import logging
from pathlib import Path
import resource

from bags import write_joint_states
from cosmos_policy_ros.core.config import ImageRecipe
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.data.episode_edits import move_to_trash, relabel
from cosmos_policy_ros.data.episodes import list_episodes, StoredEpisode
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.data.lerobot.writer import LeRobotWriter
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.outputs import OutputError
from cosmos_policy_ros.topics import SUCCESS
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.episode_cache import (
    _write_cache_file,
    hold_out,
    load_episodes,
    name_episodes,
    prepare_episodes,
)
from cosmos_policy_ros.types import ConfigError, Episode
import h5py
import numpy as np
import pytest
from samples import ROBOT, sample_episode, START_NS
from test_dataset import episode as one_episode

CONFIG = TrainConfig(image_size=32)


def spoiled(path: Path, number: float) -> None:
    """Put a number into one action of an HDF5 file."""
    with h5py.File(path, 'a') as file:
        file['action'][3, 4] = number


def write_data(data: Path, kind: str, episodes: Sequence[Episode]) -> None:
    """Write episodes in a format."""
    if kind == 'lerobot':
        with LeRobotWriter(data, ROBOT, 50.0) as data_set:
            for episode in episodes:
                data_set.add(episode)
        return
    data.mkdir()
    for number, episode in enumerate(episodes):
        if kind == 'hdf5':
            write_hdf5(data / f'episode_{number}.hdf5', episode, ROBOT)
        else:
            write_bag(data / f'episode_{number}', episode, ROBOT)


def read_into(cache: Path, data: Path) -> list[Path]:
    """Write the cache files of episodes as a run does, without processes of its own."""
    cache.mkdir()
    files = []
    for stored in list_episodes(data):
        files.append(cache / f'{stored.name}.npz')
        _write_cache_file(stored, files[-1], ROBOT, CONFIG, Reading(), ImageRecipe(32))
    return files


@pytest.mark.parametrize('kind', ['hdf5', 'lerobot'])
def test_rows_train_like_bags(tmp_path: Path, kind: str) -> None:
    """Tracks hold what was recorded, in whatever it is stored."""
    data = tmp_path / 'data'
    episodes = [sample_episode(0), sample_episode(1, 9)]
    write_data(data, kind, episodes)
    files = prepare_episodes([data], tmp_path / 'cache', ROBOT, CONFIG, workers=1)
    cached, tasks = load_episodes(files, CONFIG, True)
    assert set(tasks) == {'move the cube'}
    for one, episode in zip(cached, episodes, strict=True):
        np.testing.assert_array_equal(one.actions, episode.actions)
        np.testing.assert_array_equal(one.proprio, episode.proprio)
        np.testing.assert_array_equal(one.expert, episode.expert)
        np.testing.assert_array_equal(one.intervention, episode.human_intervention)
        assert (one.demo, one.success) == (True, True)


@pytest.mark.parametrize(('success', 'ends_s'), [('true', 2.0), ('false', 2.58)])
def test_success_ends_a_second_after_it_was_reached_for_good(
    tmp_path: Path, success: str, ends_s: float
) -> None:
    """Done at 0.4 s, lost at 0.6 s, done again at 1.0 s; a failure is kept to its end."""
    about = {'source': 'rollout', 'robot': ROBOT.name, 'success': success, 'task': 'move the cube'}
    image = np.zeros((240, 320, 3), np.uint8)
    with BagWriter(tmp_path / 'data' / 'episode_1', about) as bag:
        bag.write_text('/task', about['task'], START_NS)
        for tick in range(130):
            at_s, stamp_ns = tick / 50, START_NS + tick * 20_000_000
            write_joint_states(bag, ROBOT, ROBOT.start, stamp_ns)
            bag.write_joints('/joint_command', ROBOT.joint_names, ROBOT.start, stamp_ns)
            bag.write_flag(SUCCESS.name, 0.4 <= at_s < 0.6 or at_s >= 1.0, stamp_ns)
            if tick % 4 == 0:
                for camera in ROBOT.cameras:
                    bag.write_image(camera.topic, image, stamp_ns)
    files = prepare_episodes([tmp_path / 'data'], tmp_path / 'cache', ROBOT, CONFIG, workers=1)
    ((episode,), _) = load_episodes(files, CONFIG, True)
    assert episode.success == (success == 'true')
    assert len(episode.actions) == len(episode.proprio) == round(50 * ends_s) + 1
    with np.load(files[0]) as cache:
        assert len(cache['images/high']) == cache['index/high'].max() + 1


def test_unusable_episodes_are_named_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A torn file and one with a NaN among four; the others are trained on."""
    data = tmp_path / 'data'
    data.mkdir()
    for number in range(4):
        write_hdf5(data / f'episode_{number}.hdf5', sample_episode(number), ROBOT)
    torn = data / 'episode_1.hdf5'
    torn.write_bytes(torn.read_bytes()[:5000])
    spoiled(data / 'episode_2.hdf5', np.nan)
    with caplog.at_level(logging.INFO):
        files = prepare_episodes([data], tmp_path / 'cache', ROBOT, CONFIG, workers=1)
    assert [file.name for file in files] == ['episode_0.hdf5.npz', 'episode_3.hdf5.npz']
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any('left out' in w and 'episode_1.hdf5' in w for w in warnings)
    assert any('episode_2.hdf5' in w and 'must be finite, got 1 NaN' in w for w in warnings)
    assert '2 of 4 episodes ready, 2 left out' in caplog.text
    reasons = json.loads((tmp_path / 'cache' / 'left_out.json').read_text())
    assert sorted(reasons) == ['episode_1.hdf5', 'episode_2.hdf5']


def test_more_bad_than_good_episodes_are_refused(tmp_path: Path) -> None:
    """Two of three are not a slip any more; the first reason is told."""
    data = tmp_path / 'data'
    data.mkdir()
    for number in range(3):
        write_hdf5(data / f'episode_{number}.hdf5', sample_episode(number), ROBOT)
    for number in range(2):
        spoiled(data / f'episode_{number}.hdf5', np.inf)
    with pytest.raises(ConfigError, match=r'2 of the 3 episodes .* because: episode .*got 1 NaN'):
        prepare_episodes([data], tmp_path / 'cache', ROBOT, CONFIG, workers=1)


def test_a_full_disk_is_no_reason_to_leave_an_episode_out(tmp_path: Path) -> None:
    """The run would go on with fewer, and nobody would notice."""
    write_data(tmp_path / 'data', 'hdf5', [sample_episode(seed) for seed in (0, 1)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # processes inherit it
    try:
        with pytest.raises(OutputError, match='the disk is full'):
            prepare_episodes([tmp_path / 'data'], tmp_path / 'cache', ROBOT, CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    """Their episodes could not be told apart in the cache."""
    folders = [tmp_path / 'a' / 'bags', tmp_path / 'b' / 'bags']
    with pytest.raises(ConfigError, match='rename one'):
        name_episodes(folders)


def test_episodes_of_several_folders_keep_their_folder_in_the_name(tmp_path: Path) -> None:
    """Two recorders number their episodes alike."""
    folders = [tmp_path / 'cube', tmp_path / 'peg']
    for folder in folders:
        (folder / 'episode_000000').mkdir(parents=True)
        (folder / 'episode_000000' / 'metadata.yaml').touch()
    assert list(name_episodes(folders)) == ['cube-episode_000000', 'peg-episode_000000']


def test_demonstrations_and_failures_of_every_task_are_held_out() -> None:
    """The last ones of each, so that nothing goes unmeasured."""
    episodes = [
        replace(one_episode(n), task=n % 2, demo=n >= 8, success=n >= 8) for n in range(28)
    ]  # fmt: skip
    trained, held = hold_out(episodes, 0.2)
    assert [(t.task, t.demo, len(t.actions)) for t in held] == [
        (0, False, 6), (1, False, 7), (0, True, 24), (1, True, 25), (0, True, 26), (1, True, 27),
    ]  # fmt: skip
    assert len(trained) == 22


def test_the_only_demonstration_of_a_task_cannot_be_held_out() -> None:
    """It would be trained on or measured, and one of the two would be a lie."""
    with pytest.raises(ConfigError, match='record some more'):
        hold_out([one_episode(10), one_episode(9, demo=False)], 0.2)


@pytest.mark.parametrize('kind', ['bag', 'hdf5', 'lerobot'])
def test_episode_that_was_labelled_anew_is_not_trained_on_as_it_was(
    tmp_path: Path, kind: str
) -> None:
    """A resumed run would go on with a success that is none any more."""
    data, cache = tmp_path / 'data', tmp_path / 'cache'
    write_data(data, kind, [sample_episode(0), sample_episode(1, 9)])
    files = read_into(cache, data)
    assert prepare_episodes([data], cache, ROBOT, CONFIG) == files
    relabel(list_episodes(data)[1], {'success': False})
    with pytest.raises(ConfigError, match=r'episode_\S*1\S* of .* was recorded, labelled or cut'):
        prepare_episodes([data], cache, ROBOT, CONFIG)


def test_recording_that_took_the_name_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    """The last episode was thrown away, and the recorder gave its number to the next."""
    data, cache = tmp_path / 'data', tmp_path / 'cache'
    write_data(data, 'bag', [sample_episode(0), sample_episode(1)])
    read_into(cache, data)
    move_to_trash(list_episodes(data)[1])
    later = sample_episode(2)
    write_bag(data / 'episode_1', replace(later, stamps_ns=later.stamps_ns + 10**12), ROBOT)
    with pytest.raises(ConfigError, match=r'episode_1 of .* was recorded, labelled or'):
        prepare_episodes([data], cache, ROBOT, CONFIG)


def test_no_episode_hides_another_of_the_same_name(tmp_path: Path) -> None:
    """A folder in a folder, and a folder that is called like both."""
    folders = [tmp_path / 'cube', tmp_path / 'cube-hard']
    for bag in (folders[0] / 'hard' / 'episode_000000', folders[1] / 'episode_000000'):
        bag.mkdir(parents=True)
        (bag / 'metadata.yaml').touch()
    with pytest.raises(ConfigError, match='would both be called cube-hard-episode_000000; rename'):
        name_episodes(folders)


def test_success_before_the_first_row_is_no_episode(tmp_path: Path) -> None:
    """A camera that began when all was over; the others are trained on."""
    about = {'source': 'rollout', 'success': 'true', 'task': 'move the cube'}
    with BagWriter(tmp_path / 'b', about) as bag:
        bag.write_flag(SUCCESS.name, True, START_NS - 2 * 10**9)
        for tick in range(12):
            stamp_ns = START_NS + tick * 20_000_000
            write_joint_states(bag, ROBOT, ROBOT.start, stamp_ns)
            bag.write_joints('/joint_command', ROBOT.joint_names, ROBOT.start, stamp_ns)
            for camera in ROBOT.cameras:
                bag.write_image(camera.topic, np.zeros((240, 320, 3), np.uint8), stamp_ns)
    stored = StoredEpisode('bag', tmp_path / 'b')
    with pytest.raises(ConfigError, match='b: its task had been done for 1 s before its first'):
        _write_cache_file(stored, tmp_path / 'b.npz', ROBOT, CONFIG, Reading(), ImageRecipe(32))

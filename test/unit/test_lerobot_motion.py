# SPDX-License-Identifier: Apache-2.0
"""Velocities and efforts in LeRobot data sets: features of all rows, or of none."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from cosmos_policy_ros.cli.convert import Convert, run
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.lerobot.reader import check_lengths, read_lerobot
from cosmos_policy_ros.data.lerobot.writer import LeRobotWriter
from cosmos_policy_ros.types import Episode
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from samples import assert_same_episode, motion, ROBOT, sample_episode

VELOCITY, EFFORT = 'observation.velocity', 'observation.effort'
STILL = sample_episode()
MOVING = sample_episode(1, **motion(1))
FAST = sample_episode(2, velocity=motion(2)['velocity'])


def write(root: Path, *episodes: Episode) -> Path:
    """Write a data set."""
    with LeRobotWriter(root, ROBOT, 50.0) as data_set:
        for episode in episodes:
            data_set.add(episode)
    return root


def described(root: Path) -> set[str]:
    """Return which of the two the features, statistics, tables and episodes agree to have."""
    info = json.loads((root / 'meta' / 'info.json').read_text())
    stats = json.loads((root / 'meta' / 'stats.json').read_text())
    episodes = pq.read_schema(root / 'meta/episodes/chunk-000/file-000.parquet').names
    found = {VELOCITY, EFFORT} & set(info['features'])
    assert found == {VELOCITY, EFFORT} & set(stats)
    assert found == {name for name in (VELOCITY, EFFORT) if f'stats/{name}/q99' in episodes}
    for path in root.glob('data/*/*.parquet'):
        assert found == {VELOCITY, EFFORT} & set(pq.read_schema(path).names)
    return found


def test_features_have_the_names_of_the_joints(tmp_path: Path) -> None:
    """As in LeRobot's own ALOHA data sets, where they repeat those of the state."""
    root = write(tmp_path / 'set', MOVING)
    features = json.loads((root / 'meta' / 'info.json').read_text())['features']
    assert features[VELOCITY] == features[EFFORT] == features['observation.state']
    stats = json.loads((root / 'meta' / 'stats.json').read_text())
    wanted = motion(1)['effort'].mean(axis=0)
    np.testing.assert_allclose(stats[EFFORT]['mean'], wanted, rtol=1e-5)
    assert stats[VELOCITY]['count'] == [12]
    schema = pq.read_schema(root / 'data/chunk-000/file-000.parquet')
    assert schema.field(VELOCITY).type == pa.list_(pa.float32(), 14)


def test_episodes_without_them_describe_none(tmp_path: Path) -> None:
    """A data set of positions has the features it always had."""
    assert described(write(tmp_path / 'set', STILL)) == set()


@pytest.mark.parametrize(
    ('episodes', 'kept'),
    [
        ((MOVING, MOVING), {VELOCITY, EFFORT}),
        ((MOVING, FAST, MOVING), {VELOCITY}),
        ((FAST, MOVING), {VELOCITY}),
        ((MOVING, FAST, STILL), set()),
        ((STILL, MOVING), set()),
    ],
)
def test_what_only_some_episodes_hold_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, episodes: tuple[Any, ...], kept: set[str]
) -> None:
    """Rows that are written already lose it too; everything else can be read as before."""
    with caplog.at_level(logging.WARNING):
        root = write(tmp_path / 'set', *episodes)
    assert described(root) == kept
    check_lengths(root)
    for number, wanted in enumerate(episodes):
        got = read_lerobot(root, number, ROBOT)
        np.testing.assert_array_equal(got.proprio, wanted.proprio)
        for name, rows, told in (
            (VELOCITY, got.velocity, wanted.velocity),
            (EFFORT, got.effort, wanted.effort),
        ):
            assert (rows is not None) == (name in kept)
            if rows is not None:
                np.testing.assert_array_equal(rows, told)
    told = {name for name in (VELOCITY, EFFORT) if name in caplog.text}
    assert told == {VELOCITY, EFFORT} - kept


def test_uneven_bags_are_converted_without(tmp_path: Path) -> None:
    """The command accepts what a data set cannot hold, and reads the rest back."""
    for i, episode in enumerate((MOVING, STILL, FAST)):
        write_bag(tmp_path / 'bags' / f'episode_{i}', episode, ROBOT)
    assert run(Convert(tmp_path / 'bags', tmp_path / 'set', to='lerobot')) == 0
    assert described(tmp_path / 'set') == set()


def test_nan_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Positions and the other stream are read."""
    root = write(tmp_path / 'set', MOVING)
    path = root / 'data/chunk-000/file-000.parquet'
    table = pq.read_table(path, partitioning=None)
    rows = np.array(table[VELOCITY].to_pylist(), np.float32)
    rows[3, 3] = np.inf
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 14)
    place = table.column_names.index(VELOCITY)
    pq.write_table(table.set_column(place, VELOCITY, column), path)
    with caplog.at_level(logging.WARNING):
        got = read_lerobot(root, 0, ROBOT)
    assert got.velocity is None
    np.testing.assert_array_equal(got.effort, MOVING.effort)
    assert f'episode 0 of {root}: {VELOCITY} is left out: 1 NaN' in caplog.text


def test_lerobot_itself_loads_them(tmp_path: Path) -> None:
    """The published package finds the rows by their feature."""
    pytest.importorskip('lerobot')
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    root = write(tmp_path / 'set', MOVING, STILL, MOVING)
    assert LeRobotDataset('local/set', root=root, video_backend='pyav').num_episodes == 3
    root = write(tmp_path / 'other', MOVING)
    item = LeRobotDataset('local/other', root=root, video_backend='pyav')[5]
    np.testing.assert_array_equal(item[VELOCITY].numpy(), motion(1)['velocity'][5])
    assert_same_episode(read_lerobot(root, 0, ROBOT), MOVING, 35.0)

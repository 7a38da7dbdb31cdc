# SPDX-License-Identifier: Apache-2.0
"""Damaged files end in one line: never a trace, a hang or a crash, whatever is damaged in them.

The quick run takes 2,000 inputs; ``make fuzz`` takes 100,000.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
import logging
from pathlib import Path
from random import Random
import shutil
import signal
from types import FrameType
from typing import NamedTuple

from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.episode_edits import list_labels
from cosmos_policy_ros.data.episodes import list_episodes, read_episode, StoredEpisode
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.data.lerobot.writer import LeRobotWriter
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.data.rosetta.contract import read_contract
from cosmos_policy_ros.data.rosetta.contract_writer import write_contract
from cosmos_policy_ros.data.rosetta.robot_draft import draft_robot
from cosmos_policy_ros.image_decoder import IMAGE
from cosmos_policy_ros.report.recordings import read_recording
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.node_list import read_parameters
from cosmos_policy_ros.training.config import read_train_config
from cosmos_policy_ros.types import ConfigError, Episode
from damage import damage
from hypothesis import given, HealthCheck, Phase, settings, strategies as st
import numpy as np
from other_recorders import raw_image, recording, Sent, write_bag_of
import pytest
from samples import ROBOT, sample_episode
from tiny import save_tiny_checkpoint

ROOT = Path(__file__).parents[2]
LIMIT_S = 10
CAMERA = replace(ROBOT.cameras[0], width=16, height=16)
SMALL = replace(ROBOT, cameras=(CAMERA,))
NUMBER = count()  # of a folder: readers keep what they know of one


class Target(NamedTuple):
    """Something that is read: what makes a whole one, what reads it, and inputs in a quick run."""

    make: Callable[[Path], None]
    read: Callable[[Path], object]
    n: int


def small_episode() -> Episode:
    """Return a few ticks with small images."""
    episode = sample_episode(0, 6)
    images = {CAMERA.name: np.ascontiguousarray(episode.images[CAMERA.name][:, :16, :16])}
    index = {CAMERA.name: episode.image_index[CAMERA.name]}
    return replace(episode, images=images, image_index=index)


def make_plain_bag(folder: Path) -> None:
    """Write a bag of another recorder: SQLite, without a command of ours in its metadata."""
    cameras = {camera.topic for camera in ROBOT.cameras}
    sent = [row for row in recording(0.05) if row.topic not in cameras]
    image = raw_image(sent[0].arrival_ns, np.full((16, 16, 3), 90, np.uint8))
    sent.append(Sent(sent[0].arrival_ns, CAMERA.topic, IMAGE, image))
    write_bag_of(folder / 'a', sent, {'source': 'demo'}, sqlite=True)


def make_lerobot(folder: Path) -> None:
    """Write a LeRobot data set."""
    with LeRobotWriter(folder / 'a', SMALL, 50.0) as data_set:
        data_set.add(small_episode())


def make_contract(folder: Path) -> None:
    """Write a contract of rosetta, with labels."""
    text, _ = write_contract(SMALL)
    labels = (
        'tasks: {task: {channel: {topic: /words, type: std_msgs/msg/String}}}\n'
        'rewards: {next.reward: {channel: {topic: /reward, type: std_msgs/msg/Float64, '
        'dtype: float64}, align: {strategy: hold, timeline: receive}}}\n'
    )
    (folder / 'a.yaml').write_text(text + labels)


def read_all(folder: Path) -> None:
    """Read every episode in every way, as far as each can be read."""
    for stored in list_episodes(folder):
        with suppress(ConfigError):
            read_pixels(stored, 50.0)
        with suppress(ConfigError):
            list_labels(stored, 50.0)
        with suppress(ConfigError):
            read_recording(stored, SMALL, 2, Reading())


def read_pixels(stored: StoredEpisode, rate_hz: float) -> None:
    """Read an episode and look at its images."""
    episode = read_episode(stored, SMALL, rate_hz, Reading())
    for images in episode.images.values():
        np.asarray(images)


def make_files(*names: str) -> Callable[[Path], None]:
    """Return what copies files of this package."""

    def make(folder: Path) -> None:
        for name in names:
            shutil.copy(ROOT / name, folder)

    return make


TARGETS = {
    'bag': Target(lambda folder: write_bag(folder / 'a', small_episode(), SMALL), read_all, 50),
    'plain_bag': Target(make_plain_bag, read_all, 60),
    'hdf5': Target(
        lambda folder: write_hdf5(folder / 'a.hdf5', small_episode(), SMALL), read_all, 300
    ),
    'lerobot': Target(make_lerobot, read_all, 80),
    'checkpoint': Target(
        lambda folder: save_tiny_checkpoint(folder / 'a', SMALL),
        lambda folder: load_checkpoint(folder / 'a'),
        100,
    ),
    'contract': Target(
        make_contract, lambda folder: draft_robot(read_contract(folder / 'a.yaml')), 150
    ),
    'robot': Target(
        make_files('config/robots/so101.yaml'), lambda f: read_robot(f / 'so101.yaml'), 250
    ),
    'training': Target(
        make_files('config/train.yaml'), lambda f: read_train_config(f / 'train.yaml'), 960
    ),
    'parameters': Target(
        make_files('config/nodes.yaml'),
        lambda folder: read_parameters(folder / 'nodes.yaml', 'recorder'),
        50,
    ),
}


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return target -> folder with files that nothing is wrong with."""
    folders = {name: tmp_path_factory.mktemp(name) for name in TARGETS}
    for name, target in TARGETS.items():
        target.make(folders[name])
    return folders


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """End what takes longer with an error."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        msg = f'still reading after {seconds} s'
        raise AssertionError(msg)

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_damaged(whole: Path, folder: Path, target: Target, random: Random) -> None:
    """Read a copy with damage; nothing but a ConfigError may come of it."""
    shutil.copytree(whole, folder)
    try:
        damage(folder, random)
        with suppress(ConfigError), time_limit(LIMIT_S):
            target.read(folder)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize('name', TARGETS)
def test_damaged_file_is_named_or_read(
    name: str, whole: dict[str, Path], tmp_path: Path, n_inputs: int | None
) -> None:
    """No other error than the one that says what is wrong leaves a reader."""
    target, share = TARGETS[name], sum(target.n for target in TARGETS.values())
    n = target.n if n_inputs is None else n_inputs * target.n // share

    @settings(
        max_examples=n,
        suppress_health_check=[*HealthCheck],
        database=None,
        derandomize=n_inputs is None,  # a quick run finds what the last one found
        phases=[Phase.generate],  # a smaller seed is no simpler file
    )
    @given(st.integers(0, 2**64 - 1))
    def read_one(seed: int) -> None:
        read_damaged(whole[name], tmp_path / str(next(NUMBER)), target, Random(seed))

    logging.disable(logging.WARNING)
    try:
        read_one()
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize('name', TARGETS)
def test_whole_file_is_read(name: str, whole: dict[str, Path]) -> None:
    """Else the damage of the others would say nothing."""
    if TARGETS[name].read is read_all:
        for stored in list_episodes(whole[name]):
            read_pixels(stored, 50.0)
    TARGETS[name].read(whole[name])

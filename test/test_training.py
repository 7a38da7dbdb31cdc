# SPDX-License-Identifier: Apache-2.0
"""From bags to a checkpoint, at toy size."""

import json
import logging
from pathlib import Path

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.cli.demonstrate import record
from cosmos_policy_ros.data.dataset import Batch, POLICY, VALUE
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.stack import share_path
from cosmos_policy_ros.training.batch import latent_sequences, LatentStore, loss_weights
from cosmos_policy_ros.training.config import (
    AutoencoderConfig,
    read_train_config,
    TrainConfig,
    TransformerConfig,
)
from cosmos_policy_ros.training.prepare import _prepare
from cosmos_policy_ros.training.trainer import learning_rate_factor, train
from cosmos_policy_ros.types import ConfigError, Observation
import numpy as np
import pytest
from test_bag import META, record as record_bag, ROBOT as BAG_ROBOT
import tiny
import torch

TOY = TrainConfig(
    image_size=32,
    tick_hz=12.5,
    horizon=4,
    updates=4,
    batch_size=4,
    warmup=1,
    decay=1,
    held_out=0.34,
    autoencoder=AutoencoderConfig(
        base_dim=8, dim_mult=(1, 1, 1), patch=2, updates=10, batch_size=2
    ),
    transformer=TransformerConfig(heads=1, head_dim=24, layers=1, adaln_dim=4),
)


@pytest.fixture(scope='module')
def robot() -> RobotSpec:
    """Return the simulated robot."""
    return read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory, robot: RobotSpec) -> Path:
    """Return a folder of three recorded episodes and a damaged one."""
    folder = tmp_path_factory.mktemp('bags')
    for seed in (0, 1, 2):
        record(folder / f'episode_{seed}', 'transfer_cube', seed, robot)
    (folder / 'episode_9').mkdir()
    (folder / 'episode_9' / 'metadata.yaml').write_text('no bag')
    return folder


@pytest.fixture(scope='module')
def out(tmp_path_factory: pytest.TempPathFactory, bags: Path, robot: RobotSpec) -> Path:
    """Return the folder of a finished toy run."""
    folder = tmp_path_factory.mktemp('train') / 'toy'
    train(bags, folder, robot, TOY)
    return folder


def test_trained_checkpoint_plans(out: Path, robot: RobotSpec) -> None:
    """What the trainer writes, the policy loads and answers with."""
    policy = load_policy(out, threads=1)
    images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in robot.cameras}
    task = policy.text.tasks[0]
    answer = policy.plan(Observation(0, images, robot.start, task), candidates=2)
    assert answer.positions.shape == (2, 4, 14)


def test_damaged_episode_is_named_and_left_out(
    bags: Path, out: Path, robot: RobotSpec, caplog: pytest.LogCaptureFixture
) -> None:
    """One bad folder among many neither stops the run nor passes in silence."""
    with caplog.at_level(logging.INFO):
        train(bags, out, robot, TOY)
    assert 'episode_9' in caplog.text
    assert '3 of 4 episodes ready' in caplog.text


def test_longer_run_continues_where_the_first_ended(
    bags: Path, out: Path, robot: RobotSpec, caplog: pytest.LogCaptureFixture
) -> None:
    """Weights, averages and the optimiser's state come back."""
    with caplog.at_level(logging.INFO):
        train(bags, out, robot, TOY)
    assert 'continuing at step 4' in caplog.text


def test_checkpoint_holds_no_pickle(out: Path) -> None:
    """Safetensors and text are all a checkpoint is made of."""
    kinds = {p.suffix for p in out.rglob('*') if p.is_file() and 'work' not in p.parts}
    assert kinds == {'.json', '.safetensors', '.yaml'}
    assert json.loads((out / 'policy.json').read_text())['horizon'] == 4


def test_unknown_training_key_is_refused(tmp_path: Path) -> None:
    """A typo in the YAML must not train something else."""
    file = tmp_path / 'train.yaml'
    file.write_text('updatse: 3\n')
    with pytest.raises(ConfigError, match='updatse'):
        read_train_config(file)


def test_number_written_as_text_is_refused(tmp_path: Path) -> None:
    """YAML reads 1e-3 as text; the message says how to write it."""
    file = tmp_path / 'train.yaml'
    file.write_text('learning_rate: 1e-3\n')
    with pytest.raises(ConfigError, match=r'0\.001'):
        read_train_config(file)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('rate_hz: 15', 'whole multiple of rate_hz'),
        ('updates: -1', 'updates must be above 0'),
        ('horizon: 0', 'horizon must be above 0'),
        ('batch_size: 2.5', 'batch_size must be a whole number, got 2.5'),
        ('compile: yes please', "compile must be true or false, got 'yes please'"),
        ('cameras: high', 'cameras must be a list'),
        ('autoencoder: {updates: many}', 'autoencoder: updates must be a whole number'),
    ],
)
def test_training_value_that_cannot_be_is_refused(tmp_path: Path, line: str, message: str) -> None:
    """Before hours are spent on it."""
    file = tmp_path / 'train.yaml'
    file.write_text(line)
    with pytest.raises(ConfigError, match=message):
        read_train_config(file)


def test_learning_rate_rises_stays_and_falls() -> None:
    """Linear up over the warm-up, flat, linear down to 0."""
    config = TrainConfig(updates=100, warmup=10, decay=20)
    factors = [learning_rate_factor(step, config) for step in (0, 9, 50, 90, 100)]
    assert factors == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0])


def batch(kind: int, imitate: list[bool]) -> Batch:
    """Return one sample of the tiny policy with a chunk whose rows may be disturbed."""
    config = tiny.CONFIG
    zeros = np.zeros((1, config.proprio_size), np.float32)
    rows = np.zeros((1, len(config.cameras)), np.int64)
    chunk = np.zeros((1, config.horizon, config.action_size), np.float32)
    return Batch(
        np.array([kind]),
        chunk,
        np.array([imitate]),
        zeros,
        zeros,
        rows,
        rows.copy(),
        np.zeros(1, 'f4'),
    )


def test_disturbed_rows_do_not_enter_the_loss_of_a_policy_sample() -> None:
    """Neither they nor the future they led to."""
    config = tiny.CONFIG
    good = [True] + [False] * (config.horizon - 1)
    weights = loss_weights(batch(POLICY, good), config, 1.0)[0]
    action = weights[:, config.layout.index('action')].flatten()
    assert action[: config.action_size].all()
    assert not action[config.action_size : config.horizon * config.action_size].any()
    assert not weights[:, config.layout.index('value')].any()


def test_value_sample_is_scored_on_the_value_alone() -> None:
    """All other frames are known to it."""
    weights = loss_weights(batch(VALUE, [True] * tiny.CONFIG.horizon), tiny.CONFIG, 1.0)[0]
    assert weights.sum(dim=(0, 2, 3)).nonzero().flatten().tolist() == [weights.shape[1] - 1]


def test_current_and_future_pictures_stand_in_their_frames() -> None:
    """Each camera has its place in both halves of the sequence."""
    config = tiny.CONFIG
    shape = config.latent_shape
    pictures = torch.stack([torch.full((shape[0], *shape[2:]), float(i)) for i in (3, 4)])
    store = LatentStore(pictures, torch.zeros(shape[0], *shape[2:]), torch.zeros(1, 1))
    sample = batch(POLICY, [True] * config.horizon)
    sample.future_row[:] = 1
    x0 = latent_sequences(sample, store, config, tiny.tiny_stats())[0]
    camera = config.cameras[0]
    assert (x0[:, config.layout.index(camera)] == 3).all()
    assert (x0[:, config.layout.index(f'future_{camera}')] == 4).all()


def test_an_episode_without_an_outcome_is_left_out(tmp_path: Path) -> None:
    """One that was cut off has no return; the log would say so."""
    record_bag(tmp_path / 'a', meta={k: v for k, v in META.items() if k != 'success'})
    with pytest.raises(ConfigError, match='a has no outcome'):
        _prepare(tmp_path / 'a', tmp_path / 'a.npz', BAG_ROBOT, TrainConfig(tick_hz=25.0))

# SPDX-License-Identifier: Apache-2.0
"""Residuals of a checkpoint that was trained elsewhere, measured on recorded demonstrations."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.backends import load_cosmos_policy
from cosmos_policy_ros.cli import residuals as command
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.core.text import save_text_embeddings, TextEmbeddings
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.training.residuals import measure_residuals
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest
from samples import sample_episode
from tiny import save_tiny_checkpoint
import torch

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
TICKS = 40  # 0.8 s; a chunk of 4 rows at 12.5 Hz ends 16 ticks after it begins


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two demonstrations, of which one is disturbed at the end, and what is none."""
    folder = tmp_path_factory.mktemp('bags')
    whole, early = np.ones(TICKS, bool), np.arange(TICKS) < 30
    for name, changes in {
        'episode_0': {'expert': whole},
        'episode_1': {'expert': early},
        'episode_2': {'expert': ~whole},
        'episode_3': {'expert': whole, 'success': False},
        'episode_4': {'expert': whole, 'source': 'rollout'},
    }.items():
        write_bag(folder / name, sample_episode(int(name[-1]), TICKS, **changes), ROBOT)
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a tiny random checkpoint that knows the task of the bags."""
    path = tmp_path / 'checkpoint'
    save_tiny_checkpoint(path, ROBOT, rate_hz=12.5, action_steps=1)
    text = TextEmbeddings({'move the cube': torch.ones(2, 8)})
    save_text_embeddings(path / 'text_embeddings.safetensors', text)
    return path


def test_the_command_writes_what_the_policy_then_corrects_with(
    bags: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """4 rows of 12 arm joints; of five episodes two have anything to imitate, which are few."""
    options = command.Residuals(checkpoint, data=(bags,), samples=30, robot=ROBOT_FILE)
    assert command.run(options) == 0
    assert 'of 2 demonstrations' in capsys.readouterr().out
    assert 'residuals are of few demonstrations (2), whose errors need not' in caplog.text
    residuals = load_checkpoint(checkpoint).residuals
    assert residuals is not None
    moment = residuals.second_moment.reshape(48, 48)
    assert torch.equal(moment, moment.T)
    assert (moment.diagonal() > 0).all()
    assert load_cosmos_policy(checkpoint, threads=1).conditioning == 'corrected'


def test_chunks_in_which_a_disturbance_begins_are_left_out(bags: Path, checkpoint: Path) -> None:
    """6 of each of the five episodes are drawn; all of one, and some of the other, are whole."""
    policy = load_cosmos_policy(checkpoint, threads=1)
    measured = measure_residuals(policy, [bags], ROBOT, samples=30)
    assert measured.episodes == 2
    assert 6 <= measured.samples < 12
    with pytest.raises(ConfigError, match='at least one demonstrated chunk'):
        measure_residuals(policy, [bags / 'episode_2'], ROBOT, samples=2)


def test_a_rate_that_has_no_rows_for_the_policy_is_refused(bags: Path, tmp_path: Path) -> None:
    """50 Hz has no tick for every row of 15 Hz."""
    path = tmp_path / 'other'
    save_tiny_checkpoint(path, ROBOT, rate_hz=15.0)
    policy = load_cosmos_policy(path, threads=1)
    with pytest.raises(ConfigError, match=r'50 rows per second.*multiple of the 15'):
        measure_residuals(policy, [bags], ROBOT, samples=1)

# SPDX-License-Identifier: Apache-2.0
"""Training samples as latent sequences, and what of them enters the loss."""

from cosmos_policy_ros.training.batch import latent_sequences, loss_weights
from cosmos_policy_ros.training.dataset import Batch, POLICY, VALUE
from cosmos_policy_ros.training.latent_cache import LatentCache
import numpy as np
import tiny
import torch


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
        np.tile(rows, 2),
        np.zeros(1, 'f4'),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
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


def test_policy_sample_can_teach_the_action_alone() -> None:
    """What joint training is compared with."""
    config = tiny.CONFIG
    weights = loss_weights(batch(POLICY, [True] * config.horizon), config, 1.0, joint=False)[0]
    scored = weights.sum(dim=(0, 2, 3)).nonzero().flatten().tolist()
    assert scored == [config.layout.index('action')]


def test_value_sample_is_scored_on_the_value_alone() -> None:
    """All other frames are known to it."""
    weights = loss_weights(batch(VALUE, [True] * tiny.CONFIG.horizon), tiny.CONFIG, 1.0)[0]
    assert weights.sum(dim=(0, 2, 3)).nonzero().flatten().tolist() == [weights.shape[1] - 1]


def test_current_and_future_images_stand_in_their_frames() -> None:
    """Each camera has its place in both halves of the sequence."""
    config = tiny.CONFIG
    shape = config.latent_shape
    images = torch.stack([torch.full((shape[0], *shape[2:]), float(i)) for i in (3, 4)])
    cache = LatentCache(images, torch.zeros(shape[0], *shape[2:]), torch.zeros(1, 1, 1))
    sample = batch(POLICY, [True] * config.horizon)
    sample.latent_row[:, len(config.cameras) :] = 1
    x0 = latent_sequences(sample, cache, config, tiny.tiny_stats())[0]
    camera = config.cameras[0]
    assert (x0[:, config.layout.index(camera)] == 3).all()
    assert (x0[:, config.layout.index(f'future_{camera}')] == 4).all()

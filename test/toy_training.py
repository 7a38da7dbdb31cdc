# SPDX-License-Identifier: Apache-2.0
"""A training of seconds, from demonstrations to a checkpoint, for tests."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.sizes import AutoencoderConfig, TransformerConfig
from samples import sample_episode
import tiny

WEIGHTS = 'diffusion_pytorch_model.safetensors'
TOY = TrainConfig(
    image_size=32,
    tick_hz=12.5,
    horizon=4,
    updates=4,
    batch_size=4,
    warmup=1,
    decay=1,
    held_out=0.34,
    precision=tiny.PRECISION,
    autoencoder=AutoencoderConfig(
        base_dim=8, dim_mult=(1, 1, 1), patch=2, updates=10, batch_size=2
    ),
    transformer=TransformerConfig(heads=1, head_dim=24, layers=1, adaln_dim=4),
)


def write_demonstrations(folder: Path, robot: RobotSpec) -> None:
    """Write bags of three episodes of 3 s, and a damaged one beside them."""
    for seed in (0, 1, 2):
        write_bag(folder / f'episode_{seed}', sample_episode(seed, n=150), robot)
    (folder / 'episode_9').mkdir()
    (folder / 'episode_9' / 'metadata.yaml').write_text('no bag')

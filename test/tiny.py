# SPDX-License-Identifier: Apache-2.0
"""A tiny random policy of the real network classes, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from cosmos_policy_ros.backends.torch_backend import TorchBackend
from cosmos_policy_ros.core.checkpoint import save_checkpoint
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.networks import make_frame_independent
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.text import TextEmbeddings
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import Observation
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import numpy as np
import torch
from torch import Tensor

TASK = 'lift the cube'
# Of trainings: bfloat16, the default, takes fifty times as long where the processor emulates it.
PRECISION: Literal['bfloat16', 'float32'] = (
    'bfloat16' if torch.cpu._is_avx512_bf16_supported() else 'float32'
)
CONFIG = PolicyConfig(
    cameras=('left_wrist', 'right_wrist', 'high'),
    joint_names=('left/waist', 'left/gripper', 'right/waist', 'right/gripper'),
    rate_hz=25.0,
    horizon=6,
    action_size=4,
    proprio_size=4,
    image_size=32,
    centre_crop=False,
    latent_channels=4,
    latent_size=(4, 4),
    independent_frames=True,
    sigma_max=80.0,
    sigma_min=4.0,
    rho=7.0,
    action_steps=10,
    future_steps=5,
    value_steps=5,
    value_kind='value',
    return_discount=0.99,
)


def tiny_config(**changes: Any) -> PolicyConfig:
    """Return the configuration of the tiny policy with some fields changed."""
    return replace(CONFIG, **changes)


def tiny_vae(independent: bool = True) -> AutoencoderKLWan:
    """Return a random Wan autoencoder: 32 px images, 4x4 latents of 4 channels."""
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[1.1, 0.9, 1.0, 1.2],
        in_channels=12,
        out_channels=12,
        patch_size=2,
    )
    if independent:
        make_frame_independent(vae)
    return vae.eval()


def tiny_transformer(**changes: Any) -> CosmosTransformer3DModel:
    """Return a random Cosmos transformer for 4x4 latents of 4 channels."""
    torch.manual_seed(1)
    sizes: dict[str, Any] = {
        'in_channels': 6,
        'out_channels': 4,
        'num_attention_heads': 2,
        'attention_head_dim': 12,
        'num_layers': 2,
        'mlp_ratio': 2.0,
        'text_embed_dim': 8,
        'adaln_lora_dim': 4,
        'max_size': (16, 16, 16),
        'patch_size': (1, 2, 2),
        'rope_scale': (1.0, 3.0, 3.0),
        'concat_padding_mask': False,
        'extra_pos_embed_type': None,
    }
    return CosmosTransformer3DModel(**{**sizes, **changes}).eval()


def tiny_stats() -> NormStats:
    """Return statistics over the range -2 … 2 of four joints."""
    rows = np.array([[-2.0] * 4, [2.0] * 4], dtype=np.float32)
    return NormStats.from_steps(rows, rows)


def tiny_text() -> TextEmbeddings:
    """Return the embedding of the one task."""
    return TextEmbeddings({TASK: torch.linspace(-1.0, 1.0, 16).reshape(2, 8)})


def tiny_policy(**changes: Any) -> CosmosPolicy:
    """Return a tiny random policy with some fields of its configuration changed."""
    config = tiny_config(**changes)
    networks = TorchBackend(tiny_transformer(), tiny_vae(config.independent_frames))
    return CosmosPolicy(networks, config, tiny_stats(), tiny_text())


class NotingBackend(TorchBackend):
    """The torch backend with a note of every network call."""

    def __init__(self) -> None:
        """Start with no notes."""
        super().__init__(tiny_transformer(), tiny_vae())
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []
        self.encoded: list[Sequence[int]] = []

    def denoise(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        target: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Note latents, timesteps and target frames."""
        self.calls.append((latents, time, target))
        return super().denoise(latents, time, text, target, frames)

    def encode(self, video: Tensor) -> Tensor:
        """Note the shape."""
        self.encoded.append(video.shape)
        return super().encode(video)


def noting_policy(value_kind: str = 'value') -> tuple[CosmosPolicy, NotingBackend]:
    """Return a tiny policy and its notes."""
    backend = NotingBackend()
    config = tiny_config(value_kind=value_kind)
    return CosmosPolicy(backend, config, tiny_stats(), tiny_text()), backend


def tiny_observation(cameras: tuple[str, ...] = CONFIG.cameras) -> Observation:
    """Return an observation with noise images of 40x30 pixels."""
    numbers = np.random.default_rng(3)
    images = {c: numbers.integers(0, 256, (30, 40, 3), dtype=np.uint8) for c in cameras}
    proprio = np.array([0.5, -0.5, 1.0, 0.0], dtype=np.float32)
    return Observation(stamp_ns=7, images=images, proprio=proprio, task=TASK)


def save_tiny_checkpoint(path: Path, robot: RobotSpec, **changes: Any) -> None:
    """Save a tiny random checkpoint that fits a robot, with some fields changed."""
    sizes = {'action_size': robot.size, 'proprio_size': robot.size, 'horizon': 4}
    config = tiny_config(**({'joint_names': robot.joint_names} | sizes | changes))
    rows = np.array([[-1.0] * robot.size, [1.0] * robot.size], dtype=np.float32)
    stats = NormStats.from_steps(rows, rows)
    vae = tiny_vae(config.independent_frames)
    save_checkpoint(path, config, stats, tiny_text(), tiny_transformer(), vae)

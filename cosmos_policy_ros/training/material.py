# SPDX-License-Identifier: Apache-2.0
"""What the transformer is trained on: bags, pictures, autoencoder and latents, made once."""

from __future__ import annotations

from dataclasses import dataclass
import logging
from pathlib import Path
import zlib

from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.images import black_like, scale_pixels
from cosmos_policy_ros.core.networks import encode_video, use_picture_convolutions
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.core.text import TextEmbeddings
from cosmos_policy_ros.data.dataset import SampleTable
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.training.autoencoder import (
    build_autoencoder,
    LATENT_CHANNELS,
    train_autoencoder,
)
from cosmos_policy_ros.training.batch import LatentStore
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.prepare import encode_all, load_tracks, pick_pictures
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan
import numpy as np
from safetensors.torch import load_file, save_file
import torch
from torch import Tensor

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Material:
    """What the transformer is trained on.

    Attributes:
        policy: Facts of the coming checkpoint.
        stats: Ranges of actions and proprio.
        text: Embeddings of the tasks.
        files: The episodes' pictures.
        store: Latents.
        trained: Samples to train on.
        held_out: Samples only measured on.
    """

    policy: PolicyConfig
    stats: NormStats
    text: TextEmbeddings
    files: list[Path]
    store: LatentStore
    trained: SampleTable
    held_out: SampleTable


def load_autoencoder(
    files: list[Path], work: Path, config: TrainConfig, start: AutoencoderKLWan | None = None
) -> AutoencoderKLWan:
    """Return the autoencoder of a run, trained now, from ``start`` on, if it has none yet."""
    folder = work / 'vae'
    if (folder / 'config.json').exists():
        vae: AutoencoderKLWan = AutoencoderKLWan.from_pretrained(folder)
        return use_picture_convolutions(vae).eval()
    vae = use_picture_convolutions(start) if start else build_autoencoder(config.autoencoder)
    if config.autoencoder.updates:
        pictures = pick_pictures(files, config)
        psnr = train_autoencoder(vae, pictures, config.autoencoder, config.seed)
        logger.info('autoencoder: %.1f dB on pictures held out', psnr)
    elif start is None:
        msg = 'autoencoder: updates is 0, which keeps the one of --init; give --init'
        raise ConfigError(msg)
    # Rounded once, so that the latents below are those of the checkpoint on disk.
    vae = use_picture_convolutions(vae.half().float())
    vae.save_pretrained(folder)
    return vae


def load_material(
    files: list[Path], vae: AutoencoderKLWan, work: Path, robot: RobotSpec, config: TrainConfig
) -> Material:
    """Return what the transformer is trained on, pictures encoded now if they are not yet.

    Raises:
        ConfigError: The episodes changed since they were encoded, or none of them is a
            demonstration.
    """
    tracks, tasks = load_tracks(files, config)
    file = work / 'latents.safetensors'
    n_versions = config.augment + 1
    if not file.exists():
        versions = [encode_all(files, vae, config, version) for version in range(n_versions)]
        partial = file.with_suffix('.partial')
        save_file({'pictures': torch.cat(versions)}, partial)
        partial.rename(file)
    pictures = load_file(file)['pictures']
    used = n_versions * (max(int(t.image_row.max()) for t in tracks) + 1)
    if len(pictures) != used:
        msg = f'{file} has {len(pictures)} pictures, the episodes {used}; remove it and try again'
        raise ConfigError(msg)
    with torch.inference_mode():
        picture = scale_pixels(np.zeros((1, config.image_size, config.image_size, 3), np.uint8))
        blank = encode_video(vae, black_like(picture)[:, :, None])[0, :, 0]
    embeddings = {task: _embed(task, config) for task in tasks}
    text = torch.stack([*embeddings.values()])
    demos = [t for t in tracks if t.demo]
    if not demos:
        msg = 'no episode is a demonstration; record some that succeed and try again'
        raise ConfigError(msg)
    stats = NormStats.from_steps(
        np.concatenate([t.actions for t in demos]), np.concatenate([t.proprio for t in demos])
    )
    n_held_out = max(1, round(config.held_out * len(tracks)))
    kinds = (config.horizon, config.stride, config.return_discount, config.mixture)
    return Material(
        policy=_policy_config(config, robot, pictures.shape[-1]),
        stats=stats,
        text=TextEmbeddings(embeddings),
        files=files,
        store=LatentStore(pictures, blank.clone(), text, n_versions),
        trained=SampleTable(tracks[:-n_held_out], *kinds, n_versions),
        held_out=SampleTable(tracks[-n_held_out:], *kinds),
    )


def _policy_config(config: TrainConfig, robot: RobotSpec, side: int) -> PolicyConfig:
    return PolicyConfig(
        cameras=config.cameras,
        joint_names=robot.joint_names,
        rate_hz=config.rate_hz,
        horizon=config.horizon,
        action_size=robot.size,
        proprio_size=robot.size,
        image_size=config.image_size,
        centre_crop=config.augment > 0,
        latent_channels=LATENT_CHANNELS,
        latent_size=(side, side),
        independent_frames=True,
        sigma_max=80.0,
        sigma_min=4.0,
        rho=7.0,
        action_steps=5,
        future_steps=5,
        value_steps=5,
        value_kind='value',
        return_discount=config.return_discount,
    )


def _embed(task: str, config: TrainConfig) -> Tensor:
    """Return (L, D) float32 numbers that stand for a task, the same on every machine."""
    rng = np.random.RandomState(zlib.crc32(task.encode()))
    size = (config.transformer.text_tokens, config.transformer.text_dim)
    return torch.from_numpy(rng.standard_normal(size).astype(np.float32))

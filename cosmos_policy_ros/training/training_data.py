# SPDX-License-Identifier: Apache-2.0
"""What the transformer is trained on: autoencoder, latents, samples, facts of the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
import json
import logging
from pathlib import Path
from typing import Any
import zlib

from cosmos_policy_ros.core.checkpoint import Checkpoint
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.diffusion import SIGMA_MAX, SIGMA_MIN
from cosmos_policy_ros.core.images import black_like, scale_pixels
from cosmos_policy_ros.core.networks import (
    encode_video,
    is_frame_independent,
    use_image_convolutions,
)
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.core.text import TextEmbeddings
from cosmos_policy_ros.outputs import whole_file, whole_folder
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.training.autoencoder import (
    build_autoencoder,
    train_autoencoder,
)
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.dataset import CachedEpisode, SampleTable
from cosmos_policy_ros.training.episode_cache import hold_out, load_episodes
from cosmos_policy_ros.training.image_cache import draw_images
from cosmos_policy_ros.training.latent_cache import encode_images, LatentCache
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan
import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file, save_file
import torch
from torch import Tensor

logger = logging.getLogger(__name__)
CPU = torch.device('cpu')
EPISODES = 'episodes'  # in the file of latents: names of the episodes that they are of, in order
INHERITED = (  # facts of a checkpoint that hold for what is trained from it
    'two_steps_are_one', 'single_member_steps', 'base_seed', 'flip_images', 'jpeg_quality',
    'resize_first', 'text_encoder',
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Samples and facts that training and validation of a transformer share.

    Attributes:
        policy: Facts of the coming checkpoint.
        stats: Ranges of actions and proprio.
        text: Embeddings of the tasks.
        files: Cache files of all episodes, with their images.
        latents: Latents of all images.
        trained: Samples to train on.
        held_out: Samples to validate on.
    """

    policy: PolicyConfig
    stats: NormStats
    text: TextEmbeddings
    files: list[Path]
    latents: LatentCache
    trained: SampleTable
    held_out: SampleTable


def load_autoencoder(
    files: list[Path],
    work: Path,
    config: TrainConfig,
    start: AutoencoderKLWan | None = None,
    device: torch.device = CPU,
) -> AutoencoderKLWan:
    """Return the autoencoder of a run on ``device``, trained now if it is not yet.

    Args:
        files: Cache files of the episodes.
        work: Folder of the run.
        config: Size and length of the training; 0 updates keep ``start`` as it is.
        start: Autoencoder to start from.
        device: Where to compute.

    Raises:
        ConfigError: There is nothing to keep, or what there is cannot be trained on images.
    """
    folder = work / 'vae'
    if (folder / 'config.json').exists():
        vae: AutoencoderKLWan = AutoencoderKLWan.from_pretrained(folder)
        return use_image_convolutions(vae).eval().to(device)
    if start is None and not config.autoencoder.updates:
        msg = 'autoencoder: updates is 0, which keeps the one of --init; give --init'
        raise ConfigError(msg)
    if start is not None and config.autoencoder.updates and not is_frame_independent(start):
        msg = (
            'the autoencoder of --init depends on earlier frames and cannot be trained on single '
            'images; keep it with autoencoder: {updates: 0}'
        )
        raise ConfigError(msg)
    vae = use_image_convolutions(start) if start else build_autoencoder(config.autoencoder)
    vae.to(device)
    if config.autoencoder.updates:
        images = draw_images(files, config)
        psnr = train_autoencoder(vae, images, config.autoencoder, config.seed)
        logger.info('autoencoder: %.1f dB on images held out', psnr)
    # Rounded once, so that the latents below are those of the checkpoint on disk.
    vae = use_image_convolutions(vae.half().float())
    with whole_folder(
        folder, replace=True
    ) as partial:  # or a killed run could not be gone on with
        vae.save_pretrained(partial)
    return vae.eval()


def load_training_data(
    files: list[Path],
    vae: AutoencoderKLWan,
    work: Path,
    robot: RobotSpec,
    config: TrainConfig,
    start: Checkpoint | None = None,
) -> TrainingData:
    """Return the training data of a run; images are encoded now if they are not yet.

    Args:
        files: Cache files of the episodes.
        vae: Autoencoder of the run.
        work: Folder of the run.
        robot: Robot of the episodes.
        config: Configuration of the run.
        start: Checkpoint the run starts from; its noise levels and embeddings are kept.

    Raises:
        ConfigError: The episodes changed since they were encoded, or none of them is a
            demonstration.
    """
    independent = is_frame_independent(vae)
    episodes, tasks = load_episodes(files, config, independent)
    latents = _load_latents(files, episodes, vae, work, config)
    with torch.inference_mode():
        image = scale_pixels(np.zeros((1, config.image_size, config.image_size, 3), np.uint8))
        black = black_like(image)[:, :, None].to(next(vae.parameters()).device)
        blank = encode_video(vae, black)[0, :, 0].cpu()
    embeddings = {task: _embed(task, config, start) for task in tasks}
    text = torch.stack([*embeddings.values()])
    demos = [t for t in episodes if t.demo]
    if not demos:
        msg = 'no episode is a demonstration; record some that succeed and try again'
        raise ConfigError(msg)
    if config.ranges == 'data':
        stats = NormStats.from_steps(
            np.concatenate([t.actions for t in demos]), np.concatenate([t.proprio for t in demos])
        )
    elif start is None:
        msg = 'ranges is init, which keeps those of --init; give --init'
        raise ConfigError(msg)
    elif start.config.joint_names != robot.joint_names:
        msg = f'ranges is init, and --init has those of {list(start.config.joint_names)}, the '
        msg += f'robot has {list(robot.joint_names)}; take ranges: data'
        raise ConfigError(msg)
    else:
        stats = start.stats
    trained, held_out = hold_out(episodes, config.held_out)
    return TrainingData(
        policy=_policy_config(config, robot, latents, independent, start),
        stats=stats,
        text=TextEmbeddings(embeddings),
        files=files,
        latents=LatentCache(latents, blank.clone(), text, config.augment + 1),
        trained=_sample_table(trained, config, config.augment + 1),
        held_out=_sample_table(held_out, config),
    )


def _load_latents(
    files: list[Path],
    episodes: list[CachedEpisode],
    vae: AutoencoderKLWan,
    work: Path,
    config: TrainConfig,
) -> Tensor:
    """Return the latents of all versions of the images; those that are missing are encoded now.

    A version has a file of its own until all have one, so that an interrupted run keeps it.

    Raises:
        ConfigError: The episodes changed since they were encoded.
    """
    file, n_versions = work / 'latents.safetensors', config.augment + 1
    names = json.dumps([cached.stem for cached in files])
    parts = [work / f'latents_{version}.safetensors' for version in range(n_versions)]
    if not file.exists():
        for version, part in enumerate(parts):
            if not part.exists() or _read_names(part, names) != names:
                _write_latents(part, encode_images(files, episodes, vae, config, version), names)
        _write_latents(file, torch.cat([load_file(part)['latents'] for part in parts]), names)
    for part in parts:
        part.unlink(missing_ok=True)
    if (encoded := _read_names(file, names)) != names:
        changed = sorted({*json.loads(encoded)} ^ {*json.loads(names)})
        msg = f'{file} is of other episodes, with or without {", ".join(changed)}; begin another '
        msg += 'run with --out'
        raise ConfigError(msg)
    latents = load_file(file)['latents']
    rows = [t.image_row if t.latent_row is None else t.latent_row for t in episodes]
    used = n_versions * (max(int(r.max()) for r in rows) + 1)
    if len(latents) != used:
        msg = (
            f'{file} has {len(latents)} latents, the episodes {used}; begin another run with --out'
        )
        raise ConfigError(msg)
    return latents


def _write_latents(file: Path, latents: Tensor, names: str) -> None:
    """Write latents with the names of the episodes that they are of, as JSON."""
    with whole_file(file) as partial:
        save_file({'latents': latents}, partial, {EPISODES: names})


def _read_names(file: Path, unknown: str) -> str:
    """Return the names of the episodes of a file of latents, or what stands for unknown ones."""
    with safe_open(file, framework='pt') as stored:  # files of before names were kept have none
        return str((stored.metadata() or {}).get(EPISODES, unknown))


def _sample_table(
    episodes: list[CachedEpisode], config: TrainConfig, n_versions: int = 1
) -> SampleTable:
    return SampleTable(
        episodes,
        horizon=config.horizon,
        stride=config.stride,
        discount=config.return_discount,
        mixture=config.mixture,
        n_versions=n_versions,
    )


def _policy_config(
    config: TrainConfig,
    robot: RobotSpec,
    latents: Tensor,
    independent_frames: bool,
    start: Checkpoint | None,
) -> PolicyConfig:
    sampler: dict[str, Any] = {
        'sigma_max': SIGMA_MAX, 'sigma_min': SIGMA_MIN, 'rho': 7.0,
        'action_steps': 5, 'future_steps': 5, 'value_steps': 5,
    }  # fmt: skip
    if start:
        sampler = {name: getattr(start.config, name) for name in sampler}
    for name, level in (('sigma_max', config.sigma_high), ('sigma_min', config.sigma_low)):
        if level is not None:
            sampler[name] = level
    if config.action_steps is not None:
        sampler['action_steps'] = config.action_steps
    if start:
        sampler |= {name: getattr(start.config, name) for name in INHERITED}
        played = start.config.open_loop_rows
        sampler['open_loop_rows'] = played if played <= config.horizon else 0
    if config.open_loop_rows is not None:
        sampler['open_loop_rows'] = config.open_loop_rows
    return PolicyConfig(
        cameras=config.cameras,
        joint_names=robot.joint_names,
        rate_hz=config.rate_hz,
        horizon=config.horizon,
        action_size=robot.size,
        proprio_size=robot.proprio_size,
        image_size=config.image_size,
        centre_crop=config.augment > 0,
        latent_channels=latents.shape[1],
        latent_size=(latents.shape[2], latents.shape[3]),
        independent_frames=independent_frames,
        value_kind=config.value_kind,
        drop_hidden_frames=config.drop_hidden_frames,
        committed_rows=config.committed_rows,
        advantage=config.advantage,
        return_discount=config.return_discount,
        **sampler,
    )


def _embed(task: str, config: TrainConfig, start: Checkpoint | None) -> Tensor:
    """Return the (L, D) float32 embedding of a task, the same on every machine.

    A task that ``start`` does not know gets numbers that stand for it and nothing more.

    Raises:
        ConfigError: ``start`` reads text that an encoder made, to which such numbers mean nothing.
    """
    size = (config.transformer.text_tokens, config.transformer.text_dim)
    if start:
        if task in start.text.tasks:
            return start.text.lookup(task)
        if start.config.text_encoder:
            msg = (
                f'--init has no embedding of {task!r}, and its embeddings are those of '
                f'{start.config.text_encoder}, for which random numbers cannot stand; add it to '
                f'that checkpoint: cosmos-policy embed {task!r} --encoder FOLDER --out INIT'
            )
            raise ConfigError(msg)
        size = start.text.shape
        logger.warning('init has no embedding of %r; random numbers stand for it', task)
    rng = np.random.RandomState(zlib.crc32(task.encode()))
    return torch.from_numpy(rng.standard_normal(size).astype(np.float32))

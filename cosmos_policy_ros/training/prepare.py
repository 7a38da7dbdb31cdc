# SPDX-License-Identifier: Apache-2.0
"""Read bags once, keep what training needs of them, and encode the pictures once.

``<cache>/<bag>.npz`` holds the pictures at the model's size and the track of the episode;
``latents.safetensors`` beside that folder the latents of all pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import as_completed, ProcessPoolExecutor
import logging
import multiprocessing
from pathlib import Path

from cosmos_policy_ros.core.images import prepare_image, scale_pixels
from cosmos_policy_ros.core.networks import encode_video
from cosmos_policy_ros.data.bag_reader import list_bags, read_bag
from cosmos_policy_ros.data.dataset import Track
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan
import numpy as np
from numpy.typing import NDArray
from rich.progress import track
import torch
from torch import Tensor

logger = logging.getLogger(__name__)


def prepare_bags(
    data: Path, cache: Path, robot: RobotSpec, config: TrainConfig, workers: int = 2
) -> list[Path]:
    """Return one cache file per readable episode; those there already are kept.

    Episodes that cannot be read are named in the log and left out.

    Raises:
        ConfigError: No episode can be read.
    """
    cache.mkdir(parents=True, exist_ok=True)
    bags = [b for b in list_bags(data) if not b.name.endswith('.partial')]
    files = {bag: cache / f'{bag.name}.npz' for bag in bags}
    missing = [bag for bag, file in files.items() if not file.exists()]
    if missing:
        context = multiprocessing.get_context('spawn')
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            jobs = {pool.submit(_prepare, b, files[b], robot, config): b for b in missing}
            for job in track(as_completed(jobs), 'reading episodes', total=len(jobs)):
                error = job.exception()
                if isinstance(error, ConfigError):
                    logger.warning('left out: %s', error)
                elif error is not None:
                    raise error
    ready = [file for file in files.values() if file.exists()]
    if not ready:
        msg = f'none of the {len(bags)} episodes in {data} can be read'
        raise ConfigError(msg)
    logger.info('%d of %d episodes ready', len(ready), len(bags))
    return ready


def _prepare(bag: Path, file: Path, robot: RobotSpec, config: TrainConfig) -> None:
    """Write one cache file: pictures at the model's size and the track."""
    episode = read_bag(bag, robot, config.tick_hz)
    if episode.success is None:
        msg = f'episode {bag} has no outcome: it was cut off or nobody judged it'
        raise ConfigError(msg)
    arrays: dict[str, NDArray[np.generic]] = {
        'demo': np.array(episode.source == 'demo' and episode.success),
        'success': np.array(episode.success),
        'task': np.array(episode.task),
        'proprio': episode.proprio,
        'actions': episode.actions,
        'expert': episode.expert,
    }
    for camera in config.cameras:
        frames = [prepare_image(i, config.image_size, False) for i in episode.images[camera]]
        arrays[f'images/{camera}'] = np.stack(frames)
        arrays[f'index/{camera}'] = episode.image_index[camera]
    partial = file.with_suffix('.partial.npz')
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.rename(file)


def load_tracks(files: Iterable[Path], config: TrainConfig) -> tuple[list[Track], list[str]]:
    """Return the tracks and tasks, image rows counted through all files in order."""
    tracks, tasks, row = [], [], 0
    for file in files:
        with np.load(file) as data:
            columns = []
            for camera in config.cameras:
                columns.append(data[f'index/{camera}'] + row)
                row += int(data[f'index/{camera}'].max()) + 1
            tracks.append(
                Track(
                    demo=bool(data['demo']),
                    success=bool(data['success']),
                    image_row=np.stack(columns, axis=1),
                    proprio=data['proprio'],
                    actions=data['actions'],
                    expert=data['expert'],
                )
            )
            tasks.append(str(data['task']))
    return tracks, tasks


def pick_pictures(files: list[Path], config: TrainConfig) -> NDArray[np.uint8]:
    """Return (n, size, size, 3) uint8 RGB pictures drawn from every episode and camera."""
    rng = np.random.default_rng(config.seed)
    picked = []
    for file in track(files, 'picking pictures'):
        with np.load(file) as data:
            for camera in config.cameras:
                images = data[f'images/{camera}']
                n = min(config.autoencoder.frames_per_episode, len(images))
                picked.append(images[rng.choice(len(images), n, replace=False)])
    return np.concatenate(picked)


@torch.inference_mode()
def encode_all(files: list[Path], vae: AutoencoderKLWan, config: TrainConfig) -> Tensor:
    """Return (n, C, h, w) float16 latents of all pictures, in the row order of ``load_tracks``."""
    latents = []
    for file in track(files, 'encoding pictures'):
        with np.load(file) as data:
            for camera in config.cameras:
                pixels = scale_pixels(data[f'images/{camera}'])
                latents += [
                    encode_video(vae, part[:, :, None])[:, :, 0].half()
                    for part in pixels.split(128)
                ]
    return torch.cat(latents).contiguous()

# SPDX-License-Identifier: Apache-2.0
"""Read episodes once, keep what training needs of them, and encode the pictures once.

``<cache>/<episode>.npz`` holds the pictures at the model's size and the track of the episode,
``<cache>/left_out.json`` why an episode is not used; ``latents.safetensors`` beside that folder
the latents of all pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import as_completed, ProcessPoolExecutor
import json
import logging
import multiprocessing
from pathlib import Path

from cosmos_policy_ros.core.images import prepare_image, scale_pixels
from cosmos_policy_ros.core.networks import encode_video
from cosmos_policy_ros.data.dataset import Track
from cosmos_policy_ros.data.episodes import list_episodes, read_episode, StoredEpisode
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
    """Return one cache file per usable episode; those there already are kept.

    Episodes that cannot be read or hold NaN are named in the log and left out.

    Args:
        data: Whatever ``data/episodes.py`` recognises.
        cache: Folder of the cache files.
        robot: Robot of the episodes.
        config: Tick rate, cameras and size of the pictures.
        workers: Processes that read side by side.

    Raises:
        ConfigError: More than half of the episodes, or all, cannot be used.
    """
    cache.mkdir(parents=True, exist_ok=True)
    recordings = list_episodes(data)
    files = {recording: cache / f'{recording.name}.npz' for recording in recordings}
    missing = [recording for recording, file in files.items() if not file.exists()]
    left_out: dict[str, str] = {}
    if missing:
        context = multiprocessing.get_context('spawn')
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            jobs = {pool.submit(_prepare, r, files[r], robot, config): r for r in missing}
            for job in track(as_completed(jobs), 'reading episodes', total=len(jobs)):
                error = job.exception()
                if isinstance(error, ConfigError):
                    logger.warning('left out: %s', error)
                    left_out[jobs[job].name] = str(error)
                elif error is not None:
                    raise error
    text = json.dumps(left_out, indent=2, sort_keys=True) + '\n'
    (cache / 'left_out.json').write_text(text, encoding='utf-8')
    ready = [file for recording, file in files.items() if recording.name not in left_out]
    if not ready or 2 * len(left_out) > len(files):
        msg = (
            f'{len(left_out)} of the {len(files)} episodes in {data} cannot be used, the first '
            f'because: {next(iter(left_out.values()))}'
        )
        raise ConfigError(msg)
    left = f', {len(left_out)} left out' if left_out else ''
    logger.info('%d of %d episodes ready%s', len(ready), len(files), left)
    return ready


def _prepare(recording: StoredEpisode, file: Path, robot: RobotSpec, config: TrainConfig) -> None:
    """Write one cache file: pictures at the model's size and the track."""
    episode = read_episode(recording, robot, config.tick_hz)
    arrays: dict[str, NDArray[np.generic]] = {
        'demo': np.array(episode.source == 'demo'),
        'success': np.array(bool(episode.success)),
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

# SPDX-License-Identifier: Apache-2.0
"""The images of the cached episodes, found by their rows or drawn at random."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cosmos_policy_ros.core.images import crop_image
from cosmos_policy_ros.progress import track
from cosmos_policy_ros.training.augment import augment_image, draw_augmentation
from cosmos_policy_ros.training.config import TrainConfig
import numpy as np
from numpy.typing import NDArray


def load_images(
    files: Iterable[Path], config: TrainConfig, rows: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Return the (*rows.shape, size, size, 3) uint8 RGB images of some image rows.

    Args:
        files: The cache files, in the order they had for ``load_episodes``.
        config: Cameras and sizes.
        rows: Image rows as in ``CachedEpisode.image_row``.
    """
    size = config.image_size
    images = np.zeros((*rows.shape, size, size, 3), np.uint8)
    first = 0
    for file in files:
        with np.load(file) as data:
            for camera in config.cameras:
                n = int(data[f'index/{camera}'].max()) + 1
                here = (rows >= first) & (rows < first + n)
                if here.any():
                    found = data[f'images/{camera}'][rows[here] - first]
                    images[here] = crop_as_deployed(found, config)
                first += n
    return images


def draw_images(files: list[Path], config: TrainConfig) -> NDArray[np.uint8]:
    """Return (n, size, size, 3) uint8 RGB images drawn from every episode and camera.

    Where the policy is trained on augmented images, half of them are augmented, each in its own
    way, and the others cropped as the policy will be shown them.

    Args:
        files: The cache files.
        config: Cameras, seed, and how many images are drawn of each.
    """
    rng = np.random.default_rng(config.seed)
    drawn = []
    for file in track(files, 'drawing images'):
        with np.load(file) as data:
            for camera in config.cameras:
                images = data[f'images/{camera}']
                n = min(config.autoencoder.frames_per_episode, len(images))
                chosen = images[rng.choice(len(images), n, replace=False)]
                if config.augment:
                    half = [augment_image(image, draw_augmentation(rng)) for image in chosen[::2]]
                    chosen = crop_as_deployed(chosen, config)
                    chosen[::2] = half
                drawn.append(chosen)
    return np.concatenate(drawn)


def crop_as_deployed(images: NDArray[np.uint8], config: TrainConfig) -> NDArray[np.uint8]:
    """Return (n, size, size, 3) uint8 RGB images as the policy is shown them on the robot.

    A policy that was trained on augmented images is shown the centre crop.
    """
    if not config.augment:
        return images
    return np.stack([crop_image(image) for image in images])

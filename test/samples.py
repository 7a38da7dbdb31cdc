# SPDX-License-Identifier: Apache-2.0
"""A short episode of the simulated robot, with images as a camera could take them, for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import Circumstances, Episode, Images
import numpy as np
from numpy.typing import NDArray

ROBOT = read_robot(Path(__file__).parents[1] / 'config' / 'robots' / 'aloha_sim.yaml')
START_NS = 1_700_000_000_123_456_789


def sample_image(seed: int) -> NDArray[np.uint8]:
    """Return a 240x320 RGB image: a grey slope, a red cube somewhere, a little noise."""
    rng = np.random.default_rng(seed)
    image = np.linspace(60, 160, 320)[None, :, None] + np.linspace(0, 40, 240)[:, None, None]
    image = np.repeat(image, 3, axis=2) + rng.normal(0, 1, (240, 320, 3))
    row, column = rng.integers(20, 160, 2)
    image[row : row + 40, column : column + 40] = (200, 30, 30)
    return image.clip(0, 255).astype(np.uint8)


def sample_episode(seed: int = 0, n: int = 12, **changes: Any) -> Episode:
    """Return n ticks at 50 Hz, a new image every fourth, with some fields changed."""
    rng = np.random.default_rng(seed)
    pose = rng.uniform(0.1, 0.9, 14) + np.cumsum(rng.normal(0, 0.005, (n, 14)), axis=0)
    ticks = np.arange(n)
    images = {
        c.name: np.stack([sample_image(100 * seed + 10 * i + k) for k in range((n + 3) // 4)])
        for i, c in enumerate(ROBOT.cameras)
    }
    episode = Episode(
        source='demo',
        task='move the cube',
        success=True,
        rate_hz=50.0,
        stamps_ns=START_NS + ticks * 20_000_000,
        images=images,
        image_index={c.name: ticks // 4 for c in ROBOT.cameras},
        proprio=pose.astype(np.float32),
        actions=(pose + rng.normal(0, 0.002, (n, 14))).astype(np.float32),
        expert=ticks % 5 != 3,
        human_intervention=ticks % 7 > 4,
        circumstances=Circumstances(
            'Ada', 'bench 3', 'left lab', True, 'f00d', 0.75, note='new lamp'
        ),
    )
    return replace(episode, **changes)


def motion(seed: int = 0, n: int = 12) -> dict[str, NDArray[np.float32]]:
    """Return velocities and efforts of n ticks, as fields of an episode."""
    rows = np.random.default_rng(seed).normal(0, (0.3, 200.0), (n, 14, 2)).astype(np.float32)
    return {'velocity': rows[..., 0], 'effort': rows[..., 1]}


def assert_same_episode(got: Episode, wanted: Episode, psnr_db: float = np.inf) -> None:
    """Check that everything is the same, images at least as alike as a PSNR [dB]."""
    for name in ('source', 'task', 'success', 'rate_hz', 'circumstances'):
        assert getattr(got, name) == getattr(wanted, name)
    for name in ('stamps_ns', 'proprio', 'actions', 'expert', 'human_intervention'):
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
    for name in ('velocity', 'effort'):
        assert (getattr(got, name) is None) == (getattr(wanted, name) is None), name
        if getattr(wanted, name) is not None:
            np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
    assert got.images.keys() == wanted.images.keys()
    for camera, images in wanted.images.items():
        np.testing.assert_array_equal(got.image_index[camera], wanted.image_index[camera])
        assert got.images[camera].shape == images.shape
        assert psnr(got.images[camera], images) >= psnr_db


def psnr(images: Images, wanted: Images) -> float:
    """Return the lowest peak signal-to-noise ratio of (U, height, width, 3) images [dB]."""
    error = np.square(np.asarray(images, np.float64) - wanted).mean(axis=(1, 2, 3)).max()
    return float(np.inf if error == 0 else 10 * np.log10(255**2 / error))

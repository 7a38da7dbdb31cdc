# SPDX-License-Identifier: Apache-2.0
"""Statistics of the features of a LeRobot v3.0 data set.

Source: huggingface/lerobot ``src/lerobot/datasets/compute_stats.py``.
Differs: statistics of the whole set are those of its rows, where the reference merges the
episodes' quantiles.
"""

from __future__ import annotations

from typing import Any

from cosmos_policy_ros.types import Images
import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
SAMPLED = 100  # images per episode and camera that enter the statistics
Stats = dict[str, dict[str, Any]]  # feature -> min, max, mean, std, count, q01 … q99


def row_stats(rows: NDArray[Any]) -> dict[str, Any]:
    """Return the statistics of (S,) or (S, k) numbers, as lists of 1 or k numbers."""
    numbers = rows.reshape(len(rows), -1).astype(np.float64)
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    stats = {'min': low, 'max': high, 'mean': numbers.mean(axis=0), 'std': numbers.std(axis=0)}
    stats |= _named(np.quantile(numbers, QUANTILES, axis=0))
    return {k: v.tolist() for k, v in stats.items()} | {'count': [len(rows)]}


def histogram(images: Images) -> NDArray[np.int64]:
    """Return (4, 256) int64: how often each level of red, green, blue occurs, and how many images.

    Of long episodes every so many-th image is counted. Histograms of several episodes may be added
    up.

    Args:
        images: (n, height, width, 3) uint8 RGB.
    """
    counts = np.zeros((4, 256), np.int64)
    for image in images[:: -(-len(images) // SAMPLED)]:
        levels = [np.bincount(image[..., c].reshape(-1), minlength=256) for c in range(3)]
        counts += np.stack([*levels, np.ones(256, np.int64)])
    return counts


def image_stats(counts: NDArray[np.int64]) -> dict[str, Any]:
    """Return the statistics of images, levels in 0..1, as lists of shape (3, 1, 1).

    Args:
        counts: (4, 256) of ``histogram``.
    """
    levels = np.arange(256) / 255.0
    shares = counts[:3] / counts[:3].sum(axis=1, keepdims=True)
    mean = shares @ levels
    std = np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0.0))
    there = counts[:3] > 0
    low, high = levels[there.argmax(axis=1)], levels[255 - there[:, ::-1].argmax(axis=1)]
    reached = np.cumsum(shares, axis=1)
    quantiles = [levels[(reached >= q - 1e-12).argmax(axis=1)] for q in QUANTILES]
    stats = {'min': low, 'max': high, 'mean': mean, 'std': std} | _named(np.stack(quantiles))
    shaped = {k: v.reshape(3, 1, 1).tolist() for k, v in stats.items()}
    return shaped | {'count': [int(counts[3, 0])]}


def _named(quantiles: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {f'q{round(100 * q):02d}': v for q, v in zip(QUANTILES, quantiles, strict=True)}

# SPDX-License-Identifier: Apache-2.0
"""Every input of ``golden/official.json``: numbers that follow from names alone.

Weights, images, statistics, proprio, text and a training batch, which the official code was given
to make the golden numbers, and which the package is given to be compared with them.
"""

from __future__ import annotations

import zlib

import numpy as np

GRIPPERS = {7: [6], 14: [6, 13]}  # columns of an action
GRIPPER_RANGE = {7: (-1.0, 1.0), 14: (-0.08, 1.33)}


def _random(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def normal(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return standard normal float32 numbers."""
    return _random(name).standard_normal(shape).astype(np.float32)


def uniform(name: str, shape: tuple[int, ...] | int) -> np.ndarray:
    """Return float64 numbers in 0 … 1."""
    return _random(name).random_sample(shape)


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the float32 tensor of an official name: bias, norm or matrix."""
    n, fan_in = normal(name, shape), int(np.prod(shape[1:]))
    if name.endswith('bias'):
        return np.float32(0.1) * n
    if fan_in <= 1:
        mean = 2.0 if name.endswith(('q_norm.weight', 'k_norm.weight')) else 1.0
        return np.float32(mean) + np.float32(0.2) * n
    return n * np.float32(1.0 / np.sqrt(fan_in))


def image(name: str, height: int, width: int, cell: int = 32) -> np.ndarray:
    """Return (height, width, 3) uint8: a smooth pattern and noise of 6 levels."""
    rows, columns = height // cell + 2, width // cell + 2
    grid = (uniform(name, (rows, columns, 3)) * 256).astype(np.int64)
    y, x = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    (i, fy), (j, fx) = divmod(y, cell), divmod(x, cell)
    i, j = i[..., 0], j[..., 0]
    top = (cell - fx) * grid[i, j] + fx * grid[i, j + 1]
    low = (cell - fx) * grid[i + 1, j] + fx * grid[i + 1, j + 1]
    smooth = ((cell - fy) * top + fy * low) // cell**2
    noise = (uniform(name + '/noise', (height, width, 3)) * 13).astype(np.int64) - 6
    return (smooth + noise).clip(0, 255).astype(np.uint8)


def statistics(action_size: int, proprio_size: int) -> dict[str, list[float]]:
    """Return the ten flat keys of ``*_dataset_statistics.json``."""
    result: dict[str, list[float]] = {}
    for kind, n in (('actions', action_size), ('proprio', proprio_size)):
        low = np.round(-1 - uniform(f'{kind}_min', n), 4)
        high = np.round(1 + uniform(f'{kind}_max', n), 4)
        if kind == 'actions':
            low[GRIPPERS[n]], high[GRIPPERS[n]] = GRIPPER_RANGE[n]
        middle, half = np.round((low + high) / 2, 4), np.round((high - low) / 2, 4)
        keys = {'min': low, 'max': high, 'mean': middle, 'std': half, 'median': middle}
        result |= {f'{kind}_{key}': value.tolist() for key, value in keys.items()}
    return result


def proprio(size: int) -> np.ndarray:
    """Return (size,) float64 in -0.8 … 0.8, in robot units."""
    return np.round(1.6 * uniform('proprio', size) - 0.8, 4)


def embedding() -> np.ndarray:
    """Return (1, 512, 1024) float32 that bfloat16 holds exactly, zeros from token 9 on."""
    text = np.zeros((1, 512, 1024), np.float32)
    numbers = normal('text', (9, 1024)).view(np.uint32) & np.uint32(0xFFFF0000)
    text[0, :9] = numbers.view(np.float32)
    return text

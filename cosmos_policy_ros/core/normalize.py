# SPDX-License-Identifier: Apache-2.0
"""Robot units to [-1, 1] and back, by the range seen in the demonstrations.

Source: Cosmos Policy (arXiv:2601.16163); NVlabs/cosmos-policy
``dataset_utils.calculate_dataset_statistics`` and ``rescale_data``: min-max per dimension over
all demonstration steps, no clipping.
Differs: a dimension that never moved becomes 0 and comes back as its only value; the reference
divides by zero.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
import json
from pathlib import Path

from cosmos_policy_ros.config_file import read_mapping
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Stat = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NormStats:
    """Statistics of all demonstration steps; only minimum and maximum are used.

    Attributes:
        actions_min: (A,) float64, like the four below [rad; gripper 0..1].
        proprio_min: (P,) float64, like the four below [rad; gripper 0..1].
    """

    actions_min: Stat
    actions_max: Stat
    actions_mean: Stat
    actions_std: Stat
    actions_median: Stat
    proprio_min: Stat
    proprio_max: Stat
    proprio_mean: Stat
    proprio_std: Stat
    proprio_median: Stat

    def __post_init__(self) -> None:
        """Check that the statistics are finite vectors of agreeing sizes."""
        for group in ('actions', 'proprio'):
            low, high = getattr(self, f'{group}_min'), getattr(self, f'{group}_max')
            for f in fields(self):
                array = getattr(self, f.name)
                if f.name.startswith(group) and (array.ndim != 1 or array.shape != low.shape):
                    msg = f'{f.name} has shape {array.shape}, {group}_min has {low.shape}'
                    raise ConfigError(msg)
                if not np.isfinite(array).all():
                    msg = f'{f.name} has numbers that are not finite'
                    raise ConfigError(msg)
            if (low > high).any():
                msg = f'{group}_min is above {group}_max'
                raise ConfigError(msg)

    @classmethod
    def from_steps(cls, actions: Array, proprio: Array) -> NormStats:
        """Return the statistics of (S, A) actions and (S, P) proprio of all demonstrations."""
        stats: dict[str, Stat] = {}
        for group, rows in (('actions', actions), ('proprio', proprio)):
            table = np.asarray(rows, dtype=np.float64)
            stats[f'{group}_min'] = table.min(axis=0)
            stats[f'{group}_max'] = table.max(axis=0)
            stats[f'{group}_mean'] = table.mean(axis=0)
            stats[f'{group}_std'] = table.std(axis=0)
            stats[f'{group}_median'] = np.median(table, axis=0)
        return cls(**stats)

    def normalize_actions(self, actions: Array) -> Array:
        """Return (..., A) float32 actions scaled to [-1, 1]."""
        return to_unit(actions, self.actions_min, self.actions_max)

    def unnormalize_actions(self, actions: Array) -> Array:
        """Return (..., A) float32 actions in robot units [rad; gripper 0..1]."""
        return from_unit(actions, self.actions_min, self.actions_max)

    def normalize_proprio(self, proprio: Array) -> Array:
        """Return (..., P) float32 proprio scaled to [-1, 1]."""
        return to_unit(proprio, self.proprio_min, self.proprio_max)

    def unnormalize_proprio(self, proprio: Array) -> Array:
        """Return (..., P) float32 proprio in robot units [rad; gripper 0..1]."""
        return from_unit(proprio, self.proprio_min, self.proprio_max)


def read_stats(path: Path) -> NormStats:
    """Read statistics from JSON with ten flat keys, as the reference stores them.

    Raises:
        ConfigError: The file is missing, is no JSON, or lacks or exceeds the ten keys.
    """
    data = read_mapping(path, 'statistics file', 'the checkpoint folder is incomplete')
    known = [f.name for f in fields(NormStats)]
    if sorted(data) != sorted(known):
        msg = f'{path} must hold exactly the keys {known}'
        raise ConfigError(msg)
    try:
        return NormStats(**{k: np.asarray(v, dtype=np.float64) for k, v in data.items()})
    except (TypeError, ValueError) as error:
        msg = f'{path}: {error}'
        raise ConfigError(msg) from error


def write_stats(path: Path, stats: NormStats) -> None:
    """Write statistics as JSON with ten flat keys."""
    data = {f.name: getattr(stats, f.name).tolist() for f in fields(stats)}
    path.write_text(json.dumps(data, indent=1) + '\n', encoding='utf-8')


def to_unit(x: Array, low: Stat, high: Stat) -> Array:
    """Return (..., A) float32 numbers scaled so that ``low`` is -1 and ``high`` is 1.

    Args:
        x: (..., A) float32 numbers.
        low: (A,) float64.
        high: (A,) float64; where it equals ``low`` the result is 0.
    """
    span = high - low
    moved = span != 0
    unit = 2.0 * (x - low) / np.where(moved, span, 1.0) - 1.0
    return np.asarray(np.where(moved, unit, 0.0), dtype=np.float32)


def from_unit(x: Array, low: Stat, high: Stat) -> Array:
    """Return (..., A) float32 numbers scaled back, the inverse of ``to_unit``."""
    return np.asarray(0.5 * (x.astype(np.float64) + 1.0) * (high - low) + low, dtype=np.float32)

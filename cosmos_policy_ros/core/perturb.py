# SPDX-License-Identifier: Apache-2.0
"""Displace the action chunks of candidates, so that there is something to choose from.

A policy that imitates one way of doing a task proposes the same chunk N times; what the candidates
differ by is noise from row to row, which no arm follows. A displaced candidate ends somewhere else
for good, and the world model predicts where that leads.

Differs: the reference has candidates of the policy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cosmos_policy_ros.core.codec import read_vector, write_vector
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.core.sampling import Sample
import numpy as np
from numpy.typing import NDArray
import torch

RAMP_ROWS = 4  # over which a displacement grows, so that the arm is not jerked


def displace_others(
    given: Sample,
    config: PolicyConfig,
    stats: NormStats,
    fixed: Sequence[int],
    spread_rad: float,
) -> Sample:
    """Return candidates of which all but the first are displaced.

    Args:
        given: R rows with an action, at least 2.
        config: Layout and sizes.
        stats: Ranges of the actions.
        fixed: See ``displace``.
        spread_rad: See ``displace``.
    """
    index, shape = config.layout.index('action'), (-1, config.horizon, config.action_size)
    latents = given.latents.clone()
    unit = read_vector(latents[1:], index, shape[1] * shape[2]).cpu().numpy().reshape(shape)
    chunks = stats.unnormalize_actions(unit)
    for i, seed in enumerate(given.seeds[1:]):
        chunks[i] = displace(chunks[i], displacement_rng(seed, given.stamp_ns), spread_rad, fixed)
    unit = stats.normalize_actions(chunks)
    write_vector(latents[1:], index, torch.from_numpy(unit).to(latents.device))
    return replace(given, latents=latents)


def displace(
    chunk: NDArray[np.float32], rng: np.random.Generator, spread_rad: float, fixed: Sequence[int]
) -> NDArray[np.float32]:
    """Return (H, A) float32 a chunk in which every arm joint is off by one number.

    Args:
        chunk: (H, A) float32 joint targets [rad; gripper 0..1].
        rng: Source of the numbers, see ``displacement_rng``.
        spread_rad: Their standard deviation [rad].
        fixed: Columns that stay as they are, the grippers.
    """
    offset = np.asarray(rng.normal(0.0, spread_rad, chunk.shape[1]))
    offset[list(fixed)] = 0.0
    ramp = np.minimum(np.arange(len(chunk)) / RAMP_ROWS, 1.0)
    return (chunk + ramp[:, None] * offset).astype(np.float32)


def displacement_rng(seed: int, stamp_ns: int) -> np.random.Generator:
    """Return the source of a candidate's displacement, another one in every query.

    Args:
        seed: Seed of the candidate.
        stamp_ns: Stamp of the observation [ns].
    """
    return np.random.default_rng([seed, stamp_ns // 1_000_000])

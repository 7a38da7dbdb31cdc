# SPDX-License-Identifier: Apache-2.0
"""Noise levels, preconditioning, the sampler and the training noise, as pure functions.

The network takes the flow interpolation ``x_t = (1 - t) x0 + t noise`` with ``t = sigma / (1 +
sigma)`` and returns the velocity ``noise - x0``. The sampler works on ``x = x0 + sigma noise``.
Known frames enter clean, with timestep 0. Every row of a batch may be at a noise level of its
own, so rows with different numbers of denoising steps share the network calls.

Source: Cosmos Policy (arXiv:2601.16163); NVlabs/cosmos-policy ``cosmos_sampler``,
``res_sampler.differential_equation_solver`` ("2ab", arXiv:2308.02157),
``denoiser_scaling.RectifiedFlowScaling``, ``hybrid_edm_sde.HybridEDMSDE`` and
``misc.arch_invariant_rand``.
Differs: two denoising steps make two network calls unless a checkpoint wants them to make one, at
the level of a single step, as the reference does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import math

import numpy as np
import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]
Choose = Callable[[int, Tensor], list[int]]
Stop = Callable[[], bool]
Velocity = Callable[[Tensor, Tensor], Tensor]

# The official range of noise levels at inference.
SIGMA_MAX, SIGMA_MIN = 80.0, 4.0
# The official training mixture of noise levels, before the factor sqrt(latent frames).
LOGNORMAL_SHARE = 0.7
LOGNORMAL_MEAN = math.log(4.0)
LOGNORMAL_STD = 1.2
UNIFORM_LOW, UNIFORM_HIGH = 1.0, 85.0


def sigma_levels(
    n_steps: int,
    sigma_max: float = SIGMA_MAX,
    sigma_min: float = SIGMA_MIN,
    rho: float = 7.0,
    two_steps_are_one: bool = False,
) -> list[float]:
    """Return the noise levels at which the network is called, highest first.

    Args:
        n_steps: Denoising steps, at least 1; a single one is made at ``sigma_max``.
        sigma_max: First noise level.
        sigma_min: Last noise level.
        rho: Bend of the grid; higher puts more levels near ``sigma_min``.
        two_steps_are_one: Two steps are a single one, as in the reference.

    Raises:
        ValueError: ``n_steps`` is below 1.
    """
    if n_steps < 1:
        msg = f'denoising needs at least 1 step, got {n_steps}'
        raise ValueError(msg)
    if n_steps == 1 or (n_steps == 2 and two_steps_are_one):
        return [sigma_max]
    high, low = sigma_max ** (1.0 / rho), sigma_min ** (1.0 / rho)
    return [(high + i / (n_steps - 1) * (low - high)) ** rho for i in range(n_steps)]


def step_coefficients(levels: Sequence[float], i: int) -> tuple[float, float, float]:
    """Return the weights of (x, this x0, previous x0) in the state after network call ``i``.

    The first step is Euler, later ones second-order Adams-Bashforth, and the last call's x0 is
    the result.
    """
    if i == len(levels) - 1:
        return 0.0, 1.0, 0.0
    ratio = levels[i + 1] / levels[i]
    if i == 0:
        return ratio, 1.0 - ratio, 0.0
    h = -math.log(ratio)
    c = math.log(levels[i] / levels[i - 1]) / h  # below 0
    phi1 = math.expm1(-h) / -h
    phi2 = (phi1 - 1.0) / -h
    return ratio, h * (phi1 - phi2 / c), h * phi2 / c


def sample(
    denoise: Denoise,
    x_init: Tensor,
    levels: Sequence[Sequence[float]],
    max_rows: int | None = None,
    choose: Choose | None = None,
    stop: Stop | None = None,
) -> Tensor:
    """Return (R, ...) float64 clean estimates of a batch of rows, each on its own grid.

    All rows still running share one network call; a row that has finished leaves the batch. The
    number of network calls is that of the longest row.

    Args:
        denoise: (x (r, ...) float64, sigma (r,) float64, rows (r,) int64) -> (r, ...) clean
            estimate, for the r rows still running.
        x_init: (R, ...) noise times the first level of its row.
        levels: R noise level lists from ``sigma_levels``.
        max_rows: Most rows of one network call, to bound memory; None is all of them.
        choose: (number of the step, (r, ...) clean estimates of the rows running) -> the rows to
            go on with; the others stay as they are, not yet clean. None goes on with all.
        stop: Called after every network call; whether to make no more of them, and take the
            newest clean estimate of every row. None makes all.

    Raises:
        ValueError: The number of rows and of level lists differ.
    """
    if len(levels) != x_init.shape[0]:
        msg = f'{x_init.shape[0]} rows need as many lists of noise levels, got {len(levels)}'
        raise ValueError(msg)
    # Everything that the schedule decides goes to the device before the first call, so that the
    # host does not wait inside the loop unless it has to choose.
    n_steps, device = max(len(row) for row in levels), x_init.device
    none = (0.0, 0.0, 0.0, 0.0)
    facts = [
        [(row[i], *step_coefficients(row, i)) if i < len(row) else none for row in levels]
        for i in range(n_steps)
    ]
    table = torch.tensor(facts, dtype=torch.float64).transpose(1, 2).to(device)  # (steps, 4, R)
    running = [[r for r, row in enumerate(levels) if i < len(row)] for i in range(n_steps)]
    running_rows = [torch.tensor(rows).to(device) for rows in running]
    x = x_init.to(torch.float64)
    previous = torch.zeros_like(x)
    chosen: Sequence[int] | None = None
    for i in range(n_steps):
        rows = running_rows[i]
        if chosen is not None:
            rows = torch.tensor([r for r in running[i] if r in chosen], device=device)
        sigma, *weights = table[i].index_select(1, rows)
        now = x[rows]
        size = max_rows or len(rows)
        parts = [
            denoise(now[s : s + size], sigma[s : s + size], rows[s : s + size]).to(torch.float64)
            for s in range(0, len(rows), size)
        ]
        x0 = torch.cat(parts)
        a, b, c = (expand(w, x.ndim) for w in weights)
        x = x.index_copy(0, rows, a * now + b * x0 + c * previous[rows])
        previous = previous.index_copy(0, rows, x0)
        if choose is not None:
            chosen = choose(i, x0)
        if stop is not None and stop():
            return previous
    return x


def clean_estimate(velocity: Velocity, x: Tensor, sigma: Tensor) -> Tensor:
    """Return (R, C, U, h, w) the network's estimate of the clean target frames of R rows.

    The one denoising step of inference and of validation while training.

    Args:
        velocity: (x_t (R, C, U, h, w) float32 target frames as the network takes them, timestep
            (R,) float32) -> (R, C, U, h, w) their velocity; it knows the known frames.
        x: (R, C, U, h, w) float64 target frames with noise of ``sigma`` added.
        sigma: (R,) float64 noise levels.
    """
    t = sigma / (1.0 + sigma)
    x_t = x * expand(1.0 - t, x.ndim)
    v = velocity(x_t.to(torch.float32), t.to(torch.float32))
    return x_t - expand(t, x.ndim) * v.to(x.dtype)


def start_noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Return float32 standard normal noise that is the same on every machine."""
    numbers = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    return torch.from_numpy(numbers)


def training_input(
    x0: Tensor, noise: Tensor, sigma: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (network input, timesteps (B, T), velocity target) of one training batch.

    The reference's loss, (x0 - estimate)² weighted by (1 + sigma)² / sigma², is exactly the
    squared error of the velocity; its known frames count 0 but stay in the mean.

    Args:
        x0: (B, C, T, h, w) clean latents, vectors written.
        noise: (B, C, T, h, w) standard normal.
        sigma: (B,) noise levels, one for all frames of a row.
        mask: (B, T) float, 1 at known frames.
    """
    t = (sigma / (1.0 + sigma)).to(x0.dtype)
    t5 = expand(t, x0.ndim)
    is_known = mask[:, None, :, None, None] > 0
    network_input = torch.where(is_known, x0, (1.0 - t5) * x0 + t5 * noise)
    return network_input, (1.0 - mask) * t[:, None], noise - x0


def draw_training_sigma(
    n: int,
    latent_frames: int,
    generator: torch.Generator | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Tensor:
    """Return (n,) float32 noise levels of the official training mixture.

    0.7 of them are log-normal around 4, the others uniform in 1 … 85, all times the square root
    of the number of latent frames.

    Args:
        n: How many.
        latent_frames: Length T of the sequence.
        generator: Source of randomness; None is torch's own.
        low: Draw again below this level; None keeps all.
        high: Draw again above this level; None keeps all. Another one than 80 stretches or
            shrinks the whole mixture.

    Differs: with bounds, levels that the sampler never visits (38 % of them for 4 … 80) are
    drawn again; the reference trains on all, and knows no other range.
    """
    kept = torch.empty(0)
    while len(kept) < n:
        normal = torch.randn(n, generator=generator)
        uniform = torch.rand(n, generator=generator)
        choice = torch.rand(n, generator=generator)
        sigma = torch.where(
            choice < LOGNORMAL_SHARE,
            torch.exp(LOGNORMAL_MEAN + LOGNORMAL_STD * normal),
            UNIFORM_LOW + (UNIFORM_HIGH - UNIFORM_LOW) * uniform,
        ) * (math.sqrt(latent_frames) * (high or SIGMA_MAX) / SIGMA_MAX)
        inside = (sigma >= (low or 0.0)) & (sigma <= (high or math.inf))
        kept = torch.cat([kept, sigma[inside]])
    return kept[:n]


def member_steps(n_steps: int, members: int, single: int = 0) -> list[int]:
    """Return the denoising steps of each ensemble member, from 1 to ``n_steps``.

    Source: NVlabs/cosmos-policy ``cosmos_utils.get_future_state_prediction``, where a single
    member takes one step.

    Args:
        n_steps: Steps of the last of several members.
        members: How many.
        single: Steps of a single member; 0 takes all.
    """
    if members == 1:
        return [single or n_steps]
    return [int(s) for s in np.linspace(1, n_steps, members)]


def expand(per_row: Tensor, ndim: int) -> Tensor:
    """Return (R,) numbers with trailing axes of length 1, to multiply an ``ndim`` tensor."""
    return per_row.reshape(-1, *[1] * (ndim - 1))

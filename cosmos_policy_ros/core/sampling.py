# SPDX-License-Identifier: Apache-2.0
"""Denoise the unknown frames of rows of latents; drop rows early whose value is estimated low.

A pruned search denoises all candidates for a step, keeps the better part of them for the next and
so on (successive halving). The value frame is denoised together with the action, so every network
call brings an estimate of it, and ranking the candidates costs nothing more.

Differs: the reference denoises every candidate to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cosmos_policy_ros.core.backend import Backend
from cosmos_policy_ros.core.codec import add_vector, read_value, read_vector
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.deadline import Deadline
from cosmos_policy_ros.core.diffusion import (
    Choose,
    clean_estimate,
    sample,
    sigma_levels,
    start_noise,
    Stop,
)
from cosmos_policy_ros.core.layout import SampleKind
import torch
from torch import Tensor

RowVelocity = Callable[[Tensor, Tensor, Tensor], Tensor]
Correct = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Sample:
    """R rows of latents that answer one observation.

    Attributes:
        latents: (R, C, T, h, w) float32, known frames clean, all others denoised, but for frames
            that the network's sequence left out.
        seeds: The R rows' candidate seeds.
        task: Language instruction.
        images: (cameras, 3, H, W) float32 current images in [-1, 1].
        stamp_ns: Sensing time of the observation [ns, ROS clock].
        steps: Denoising steps of the last stage; 0 before the first.
    """

    latents: Tensor
    seeds: tuple[int, ...]
    task: str
    images: Tensor
    stamp_ns: int
    steps: int = 0

    def rows(self, which: Sequence[int]) -> Sample:
        """Return the rows with the given indices, in their order, as a sample of its own."""
        seeds = tuple(self.seeds[r] for r in which)
        return replace(self, latents=self.latents[list(which)], seeds=seeds)


def denoise_frames(
    backend: Backend,
    config: PolicyConfig,
    text: Tensor,
    given: Sample,
    kind: SampleKind,
    steps: Sequence[int],
    *,
    seed_stride: int = 0,
    keep: Sequence[int] = (),
    max_rows: int | None = None,
    correct: Correct | None = None,
    deadline: Deadline | None = None,
    plain_text: Tensor | None = None,
    guidance: float = 1.0,
) -> Sample:
    """Return the rows with their unknown frames denoised, one or more members of each.

    Args:
        backend: What runs the network.
        config: Layout, sizes and noise levels.
        text: (layers, 2, heads, L, D / heads) or (L, D), of the task, see
            ``Backend.encode_text``.
        given: R rows whose known frames are used.
        kind: Policy, world model or value: which frames are known, and which are denoised.
        steps: Denoising steps of each of the members of a row.
        seed_stride: Seed distance between the members of a row.
        keep: Rows kept after each step, see ``PlanQuery.keep``; only those are returned that are
            kept to the end.
        max_rows: Most rows of one network call; None is all of them.
        correct: (r, H, A) estimated chunks, normalised -> what to go on with, after every network
            call; for a kind that denoises the action.
        deadline: When to make no more steps, the stage begun; None makes all.
        plain_text: The text without its label, for a guidance beyond 1; None for none.
        guidance: How far the action is moved from what the plain text makes of it to what
            ``text`` makes of it, and beyond. Future and value stay those of ``text``.

    Returns:
        R * members rows, the members of a row side by side; fewer if some were not kept.
    """
    members, known = len(steps), config.layout.known(kind)
    latents = given.latents.repeat_interleave(members, dim=0)
    there = config.frames(kind)  # in the network's sequence
    unknown = [i for i in there if config.layout.names[i] not in known]
    target = torch.tensor([there.index(i) for i in unknown], device=backend.device)
    frames = torch.tensor(there, device=backend.device)
    positions = frames if config.drop_hidden_frames else None
    context = latents.index_select(2, frames)
    levels = [noise_levels(config, n) for n in steps]
    seeds = [s + seed_stride * j for s in given.seeds for j in range(members)]
    noise = {s: start_noise(s, config.latent_shape)[:, unknown] for s in set(seeds)}
    x_init = torch.stack([noise[s] for s in seeds]).to(backend.device) * config.sigma_max

    def velocity(latents: Tensor, t: Tensor, _rows: Tensor) -> Tensor:
        found = backend.denoise(latents, t, text, target, positions)
        if plain_text is None:
            return found
        plain = backend.denoise(latents, t, plain_text, target, positions)
        place, guided = unknown.index(config.layout.index('action')), found.clone()
        guided[:, :, place] += (guidance - 1.0) * (found - plain)[:, :, place]
        return guided

    def correct_chunk(estimate: Tensor) -> Tensor:
        """Return the clean estimates with another chunk; what its copies differ by stays."""
        assert correct is not None
        place, shape = (
            unknown.index(config.layout.index('action')),
            (config.horizon, config.action_size),
        )
        chunk = read_vector(estimate, place, shape[0] * shape[1]).reshape(-1, *shape)
        corrected = estimate.clone()
        add_vector(corrected, place, correct(chunk) - chunk)
        return corrected

    deadline = deadline or Deadline()

    def stop() -> bool:
        if deadline.is_set and backend.device.type == 'cuda':
            torch.cuda.synchronize(backend.device)  # what was not waited for took no time yet
        return deadline.note_step()

    halving = SuccessiveHalving(keep, len(seeds), unknown.index(config.layout.index('value')))
    x = denoise_target(
        velocity,
        context,
        target,
        x_init,
        levels * len(given.seeds),
        max_rows=max_rows,
        choose=halving if keep else None,
        correct=correct_chunk if correct else None,
        stop=stop,
    )
    kept = torch.tensor(halving.rows, device=backend.device)
    return replace(
        given,
        latents=latents.index_copy(2, frames[target], x.to(torch.float32))[kept],
        seeds=tuple(given.seeds[r // members] for r in halving.rows),
        steps=deadline.steps,
    )


def noise_levels(config: PolicyConfig, steps: int) -> list[float]:
    """Return the noise levels of the network calls that a number of denoising steps makes.

    Args:
        config: Range and bend of the grid, and whether two steps are one.
        steps: Denoising steps.
    """
    grid = config.sigma_max, config.sigma_min, config.rho
    return sigma_levels(steps, *grid, two_steps_are_one=config.two_steps_are_one)


def denoise_target(
    velocity: RowVelocity,
    context: Tensor,
    target: Tensor,
    x_init: Tensor,
    levels: Sequence[Sequence[float]],
    *,
    max_rows: int | None = None,
    choose: Choose | None = None,
    correct: Correct | None = None,
    stop: Stop | None = None,
) -> Tensor:
    """Return the (R, C, U, h, w) float64 target frames of R rows, denoised from the known frames.

    The one way a network is sampled: to answer queries, and to validate it while it is trained.

    Args:
        velocity: (latents (r, C, T, h, w) float32, known frames clean and target frames as the
            network sees them; timestep (r,) float32 of the target frames; rows (r,) int64, which
            of the R rows these are) -> (r, C, U, h, w) velocity of the target frames.
        context: (R, C, T, h, w) float32 whose known frames are used.
        target: (U,) int64 indices of the target frames.
        x_init: (R, C, U, h, w) noise times the first level of its row.
        levels: R noise level lists from ``sigma_levels``.
        max_rows: Most rows of one network call; None is all of them.
        choose: Which rows to go on with, see ``diffusion.sample``.
        correct: (r, C, U, h, w) clean estimates -> those to go on with.
        stop: Whether to make no more steps, see there.
    """

    def estimate(x: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        """Return the (r, C, U, h, w) clean estimate of some rows at their noise levels."""

        def velocity_of_rows(x_t: Tensor, t: Tensor) -> Tensor:
            return velocity(context[rows].index_copy(2, target, x_t), t, rows)

        x0 = clean_estimate(velocity_of_rows, x, sigma)
        return x0 if correct is None else correct(x0)

    return sample(estimate, x_init, levels, max_rows, choose, stop)


class SuccessiveHalving:
    """Keeps the rows of the highest estimated value, fewer after every denoising step.

    Attributes:
        rows: Rows that are denoised on, rising.
    """

    def __init__(self, keep: Sequence[int], n: int, place: int) -> None:
        """Begin with all rows.

        Args:
            keep: Rows kept after each step; later steps keep all.
            n: Number of rows.
            place: Index of the value among the target frames.
        """
        self.rows = list(range(n))
        self._keep, self._place = keep, place

    def __call__(self, step: int, estimate: Tensor) -> list[int]:
        """Return the rows to go on with after a step, rising.

        Args:
            step: Its number, from 0.
            estimate: (r, C, U, h, w) clean estimates of the rows denoised in it.
        """
        if step < len(self._keep):
            values = read_value(estimate, self._place)
            order = values.argsort(descending=True, stable=True).tolist()  # ties: the lower row
            self.rows = sorted(self.rows[i] for i in order[: self._keep[step]])
        return self.rows

# SPDX-License-Identifier: Apache-2.0
"""Ask a network for the unknown frames of rows, and stop early where the answer looks worse.

A pruned search denoises all candidates for a step, keeps the better part of them for the next and
so on (successive halving). The value frame is denoised together with the action, so every network
call brings an estimate of it, and ranking the candidates costs nothing more.

Differs: the reference denoises every candidate to the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_policy_ros.core.backend import Backend
from cosmos_policy_ros.core.codec import read_value
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.diffusion import expand, sample, sigma_levels, start_noise
from cosmos_policy_ros.core.layout import SampleKind
from cosmos_policy_ros.core.sample import Sample
import torch
from torch import Tensor


def ask(
    backend: Backend,
    config: PolicyConfig,
    text: Tensor,
    given: Sample,
    kind: SampleKind,
    steps: Sequence[int],
    spread: int = 0,
    keep: Sequence[int] = (),
    max_rows: int | None = None,
) -> Sample:
    """Return the rows with their unknown frames denoised, some members for each.

    Args:
        backend: What runs the network.
        config: Layout, sizes and noise levels.
        text: What ``backend.read_text`` returned for the task.
        given: R rows whose known frames are used.
        kind: What is asked; it says which frames are known.
        steps: Denoising steps of each member.
        spread: Seed distance between the members of a row.
        keep: Rows kept after each step, see ``planner.check_keep``; only those are returned that
            are kept to the end.
        max_rows: Most rows of one network call; None is all of them.
    """
    members, known = len(steps), config.layout.known(kind)
    latents = given.latents.repeat_interleave(members, dim=0)
    there = config.frames(kind)  # in the network's sequence
    unknown = [i for i in there if config.layout.names[i] not in known]
    asked = torch.tensor([there.index(i) for i in unknown], device=backend.device)
    frames = torch.tensor(there, device=backend.device)
    context = latents.index_select(2, frames)
    levels = [sigma_levels(n, config.sigma_max, config.sigma_min, config.rho) for n in steps]
    seeds = [s + spread * j for s in given.seeds for j in range(members)]
    noise = {s: start_noise(s, config.latent_shape)[:, unknown] for s in set(seeds)}
    x_init = torch.stack([noise[s] for s in seeds]).to(backend.device) * config.sigma_max

    def denoise(x: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        """Return the clean estimate of the asked frames, see ``diffusion.clean_estimate``."""
        t = sigma / (1.0 + sigma)
        x_t = x * expand(1.0 - t, x.ndim)
        shown = context[rows].index_copy(2, asked, x_t.to(torch.float32))
        positions = frames if config.drop_hidden_frames else None
        velocity = backend.denoise(shown, t.to(torch.float32), text, asked, positions)
        return x_t - expand(t, x.ndim) * velocity.to(x.dtype)

    pruning = Pruning(keep, len(seeds), unknown.index(config.layout.index('value')))
    x = sample(denoise, x_init, levels * len(given.seeds), max_rows, pruning if keep else None)
    kept = torch.tensor(pruning.rows, device=backend.device)
    clean = latents.index_copy(2, frames[asked], x.to(torch.float32))[kept]
    candidates = tuple(given.seeds[r // members] for r in pruning.rows)
    return Sample(clean, candidates, given.task, given.images)


class Pruning:
    """Keep the rows whose value looks best so far.

    Attributes:
        rows: Rows that are denoised on, rising.
    """

    def __init__(self, keep: Sequence[int], n: int, place: int) -> None:
        """Begin with all rows.

        Args:
            keep: Rows kept after each step; later steps keep all.
            n: Number of rows.
            place: Of the value among the asked frames.
        """
        self.rows = list(range(n))
        self._keep, self._place = keep, place

    def __call__(self, step: int, estimate: Tensor) -> list[int]:
        """Return the rows to go on with, after a step.

        Args:
            step: Its number, from 0.
            estimate: (r, C, U, h, w) clean estimates of the rows denoised in it.
        """
        if step < len(self._keep):
            values = read_value(estimate, self._place)
            order = values.argsort(descending=True, stable=True).tolist()  # ties: the lower row
            self.rows = sorted(self.rows[i] for i in order[: self._keep[step]])
        return self.rows

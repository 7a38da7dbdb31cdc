# SPDX-License-Identifier: Apache-2.0
"""What the sampler returns: rows of latents and what they were asked for."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of denoised latents and where they came from.

    Attributes:
        latents: (R, C, T, h, w) float32, known frames clean, all others generated, but for frames
            that the network's sequence left out.
        seeds: The R rows' candidate seeds.
        task: Language instruction.
        images: (cameras, 3, H, W) float32 current images in [-1, 1].
    """

    latents: Tensor
    seeds: tuple[int, ...]
    task: str
    images: Tensor

    def rows(self, which: slice) -> Sample:
        """Return some of the rows."""
        return Sample(self.latents[which], self.seeds[which], self.task, self.images)

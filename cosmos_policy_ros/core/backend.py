# SPDX-License-Identifier: Apache-2.0
"""What the policy needs of whatever runs the networks."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Autoencoder(Protocol):
    """Pictures to latents and back.

    Attributes:
        device: Where tensors go in and come out.
    """

    device: torch.device

    def encode(self, video: Tensor) -> Tensor:
        """Return (B, C, 1 + (F - 1) / 4, h, w) latents of (B, 3, F, H, W) RGB in [-1, 1]."""

    def decode(self, latents: Tensor) -> Tensor:
        """Return (B, 3, 1 + 4 (T - 1), H, W) RGB in [-1, 1] of (B, C, T, h, w) latents."""


class Backend(Autoencoder, Protocol):
    """Autoencoder and transformer of one checkpoint.

    Attributes:
        precision: Arithmetic of the networks, for people.
    """

    precision: str

    def read_text(self, text: Tensor) -> Tensor:
        """Return what ``denoise`` needs of the (L, D) float32 embeddings of a task.

        It is the same for every call, so that a task costs this once.
        """

    def denoise(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        asked: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, C, U, h, w) float32 velocity of the asked frames.

        Args:
            latents: (B, C, T, h, w) float32, known frames clean, asked frames mixed with noise.
            time: (B,) float32, sigma / (1 + sigma) of the asked frames.
            text: What ``read_text`` returned.
            asked: (U,) int64 indices, among the latents, of the frames that are to be denoised,
                rising.
            frames: (T,) int64 positions of the frames in a sequence that others may have been
                left out of, rising; given in every call for a checkpoint that does so, else None.
        """

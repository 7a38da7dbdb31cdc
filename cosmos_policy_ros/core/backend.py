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
    """Autoencoder and transformer of one checkpoint."""

    def denoise(self, latents: Tensor, timestep: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """Return the (B, C, T, h, w) float32 velocity.

        Args:
            latents: (B, C, T, h, w) float32, known frames clean, others mixed with noise.
            timestep: (B, T) float32, sigma / (1 + sigma), 0 at known frames.
            text: (B, L, D) float32 task embeddings.
            mask: (B, T) float32, 1 at known frames.
        """

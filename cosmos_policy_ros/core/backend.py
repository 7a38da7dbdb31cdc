# SPDX-License-Identifier: Apache-2.0
"""The interface between the policy and whatever runs its networks: encode, denoise, decode."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Autoencoder(Protocol):
    """The image autoencoder: images to latents and back.

    Attributes:
        device: Where tensors go in and come out.
    """

    device: torch.device

    def encode(self, video: Tensor) -> Tensor:
        """Return (B, C, 1 + (F - 1) / 4, h, w) latents of (B, 3, F, H, W) RGB in [-1, 1]."""

    def decode(self, latents: Tensor) -> Tensor:
        """Return (B, 3, 1 + 4 (T - 1), H, W) RGB in [-1, 1] of (B, C, T, h, w) latents."""


class Backend(Autoencoder, Protocol):
    """The networks of one checkpoint: autoencoder and transformer.

    Attributes:
        precision: Arithmetic of the networks, for people.
    """

    precision: str

    def encode_text(self, text: Tensor) -> Tensor:
        """Return the text of a task as ``denoise`` takes it, the same in every call.

        Args:
            text: (L, D) float32 embeddings of the task.

        Returns:
            (layers, 2, heads, L, D / heads) keys and values of every layer, or the embeddings as
            they are where the network computes those in every call.
        """

    def denoise(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        target: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, C, U, h, w) float32 velocity of the target frames.

        Args:
            latents: (B, C, T, h, w) float32, known frames clean, target frames mixed with noise.
            time: (B,) float32, sigma / (1 + sigma) of the target frames.
            text: Keys and values of the task, from ``encode_text``.
            target: (U,) int64 indices, among the latents, of the frames that are to be denoised,
                rising.
            frames: (T,) int64 positions of the frames in a sequence that others may have been
                left out of, rising; given in every call for a checkpoint that does so, else None.
        """

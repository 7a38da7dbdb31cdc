# SPDX-License-Identifier: Apache-2.0
"""Write vectors into latent frames and read them back.

A normalised vector is repeated until it fills the frame, in channel, row, column order; it is
read as the mean of its full copies, which averages away what noise the sampler left. The value
fills its frame with one number.

Source: Cosmos Policy (arXiv:2601.16163), Sec. 4.1; NVlabs/cosmos-policy
``policy_text2world_model.replace_latent_with_action_chunk`` and
``cosmos_utils.extract_action_chunk_from_latent_sequence``.
Differs: a vector larger than a frame is refused; the reference cuts it off silently.
"""

from __future__ import annotations

import torch
from torch import Tensor


def write_vector(latents: Tensor, index: int, vector: Tensor) -> None:
    """Fill one latent frame with copies of a vector, in place.

    Args:
        latents: (B, C, T, h, w) float latents.
        index: Position of the frame in T.
        vector: (B, ...) float in [-1, 1]; an action chunk (B, H, A) counts time outermost.

    Raises:
        ValueError: The vector is larger than a frame.
    """
    latents[:, :, index] = _copies(latents, index, vector)


def add_vector(latents: Tensor, index: int, vector: Tensor) -> None:
    """Add a vector to every copy in one latent frame, in place.

    Args:
        latents: (B, C, T, h, w) float latents.
        index: Position of the frame in T.
        vector: (B, ...) float; what the copies differ by stays.

    Raises:
        ValueError: The vector is larger than a frame.
    """
    latents[:, :, index] += _copies(latents, index, vector)


def read_vector(latents: Tensor, index: int, size: int) -> Tensor:
    """Return (B, size) the mean of the full copies in one latent frame; the tail is ignored.

    Args:
        latents: (B, C, T, h, w) float latents.
        index: Position of the frame in T.
        size: Numbers in the vector.

    Raises:
        ValueError: The vector is larger than a frame.
    """
    copies = _volume(latents, size) // size
    flat = latents[:, :, index].reshape(latents.shape[0], -1)
    return flat[:, : copies * size].reshape(-1, copies, size).mean(dim=1)


def write_value(latents: Tensor, index: int, value: Tensor) -> None:
    """Fill one latent frame with a value, in place.

    Args:
        latents: (B, C, T, h, w) float latents.
        index: Position of the frame in T.
        value: (B,) float in [0, 1], stored as 2 v - 1.
    """
    scaled = (2.0 * value - 1.0).to(latents.dtype)
    latents[:, :, index] = scaled[:, None, None, None]


def read_value(latents: Tensor, index: int) -> Tensor:
    """Return (B,) float values in [0, 1] from one latent frame of (B, C, T, h, w) latents."""
    mean = latents[:, :, index].mean(dim=(1, 2, 3))
    return torch.clamp((mean + 1.0) / 2.0, 0.0, 1.0)


def _copies(latents: Tensor, index: int, vector: Tensor) -> Tensor:
    """Return the (B, C, h, w) frame that a vector fills."""
    frame = latents[:, :, index]
    flat = vector.reshape(frame.shape[0], -1)
    copies = -(-_volume(latents, flat.shape[1]) // flat.shape[1])
    tiled = flat.repeat(1, copies)[:, : frame[0].numel()]
    return tiled.reshape(frame.shape).to(latents.dtype)


def _volume(latents: Tensor, size: int) -> int:
    """Return how many numbers a latent frame holds, refusing vectors that do not fit."""
    volume = latents.shape[1] * latents.shape[3] * latents.shape[4]
    if not 0 < size <= volume:
        msg = f'a vector of {size} numbers does not fit a latent frame of {volume}'
        raise ValueError(msg)
    return int(volume)

# SPDX-License-Identifier: Apache-2.0
"""Committed rows: what will be played until the answer arrives, as a part of the question.

While a query is answered the arms play on. Those first rows of the new chunk are known before it
is denoised, and a plan that contradicts them starts with a jump. They are written into the
``blank`` frame, which the network is always given and which is otherwise black: row i as its
normalised action and a 1, zeros for rows that are free. Without committed rows the frame is the
black one, so a network that was never shown any is asked exactly what it was trained on.

Source: the principle is training-time real-time chunking (arXiv:2512.05964). Differs: no token of
this network belongs to one row of the chunk, so neither a timestep nor a mask of single rows can
be expressed; a frame of their own can.
"""

from __future__ import annotations

from cosmos_policy_ros.core.codec import write_vector
import torch
from torch import Tensor

BLANK = 0  # position of the blank frame in every layout


def write_committed(latents: Tensor, actions: Tensor, n_rows: Tensor) -> None:
    """Write committed rows into the blank frame, in place; a sample without any keeps its frame.

    Args:
        latents: (B, C, T, h, w) float latents.
        actions: (B, H, A) float normalised action rows, of which the first are committed.
        n_rows: (B,) int64 how many rows of each sample are committed, 0 to H.

    Raises:
        ValueError: The rows and their marks are larger than a frame.
    """
    some = n_rows > 0
    if not bool(some.any()):
        return
    horizon = actions.shape[1]
    mark = (torch.arange(horizon, device=n_rows.device) < n_rows[some, None]).to(actions.dtype)
    rows = torch.cat([actions[some] * mark[..., None], mark[..., None]], dim=2)  # (b, H, A + 1)
    written = latents[some]
    write_vector(written, BLANK, rows)
    latents[some] = written

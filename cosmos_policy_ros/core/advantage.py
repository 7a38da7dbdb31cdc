# SPDX-License-Identifier: Apache-2.0
"""Advantage as an input: whether a chunk went better than was expected, as a mark in the text.

A policy that imitates rollouts imitates their failures too. One that is told which chunks went
better than the value expected, and which did not, learns both apart, and is asked for the better
ones. The label is a vector that is added to the last token of the task's text, or taken away from
it. Where the text is padded, as with an encoder of words, that token is empty and the label is a
token of its own. It has the size of the others' numbers and is the same on every machine.

It is in the text and not in the latent sequence, since that leaves everything else as it is: text
of the same shape goes through the same exported graphs, a checkpoint that knows no label is asked
as ever, and one that does, with the text alone, as a policy that was trained without.

Source: RECAP of pi*0.6 (Physical Intelligence 2025), "advantage conditioning"; guidance as in
classifier-free guidance (arXiv:2207.12598).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SEED = 0x60D  # of the label


def write_label(text: Tensor, sign: Tensor) -> Tensor:
    """Return the text embeddings of chunks with their labels.

    Args:
        text: (B, L, D) float embeddings of tasks.
        sign: (B,) 1 for better than expected, -1 for not better, 0 for no label.
    """
    if not bool(sign.any()):
        return text
    numbers = np.random.RandomState(SEED).standard_normal(text.shape[2]).astype(np.float32)
    label = torch.from_numpy(numbers).to(text)
    some = (text != 0).any(dim=2)  # (B, L), tokens that are not padding
    square = text.pow(2).mean(dim=2) * some
    size = (square.sum(dim=1) / some.sum(dim=1).clamp(min=1)).sqrt()  # (B,)
    labelled = text.clone()
    labelled[:, -1] += (sign.to(text) * size)[:, None] * label
    return labelled

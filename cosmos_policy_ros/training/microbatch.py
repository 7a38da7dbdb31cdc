# SPDX-License-Identifier: Apache-2.0
"""Which samples of a batch go through the network together.

A call of the network needs sequences of the same frames. Where frames that are hidden from the
value are left out, value samples go on their own, at their own length.
"""

from __future__ import annotations

from collections.abc import Iterable

from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.layout import SampleKind
from cosmos_policy_ros.training.dataset import Batch
import numpy as np


def sample_kinds(policy: PolicyConfig) -> tuple[SampleKind, ...]:
    """Return what is asked, by ``Batch.kind``."""
    return ('policy', 'world_model', policy.value_kind)


def frames_of(batch: Batch, policy: PolicyConfig) -> list[int]:
    """Return the positions of the frames in the sequences of a batch, which has some samples.

    Raises:
        ValueError: Its samples have sequences of different frames.
    """
    kinds = sample_kinds(policy)
    first, *others = [policy.frames(kinds[kind]) for kind in np.unique(batch.kind)]
    if any(frames != first for frames in others):
        msg = f'sequences of {sorted(map(len, [first, *others]))} frames cannot share a call'
        raise ValueError(msg)
    return first


def deal(
    batch: Batch, policy: PolicyConfig, n_parts: int, mine: Iterable[int]
) -> list[tuple[int, Batch, float]]:
    """Return some parts of a batch: number, samples and weight.

    The samples of a part have sequences of the same frames. Whoever calls the network together
    has to do so equally often, so a part for which nothing is left is a sample of weight 0; the
    others have weight 1.

    Args:
        batch: All samples of a step, the same for everybody.
        policy: Says which frames are there.
        n_parts: Parts that all together compute, per length of sequences.
        mine: Numbers of those that are returned.
    """
    lengths = np.array([len(policy.frames(kind)) for kind in sample_kinds(policy)])[batch.kind]
    parts = []
    for g, length in enumerate(sorted(set(lengths.tolist()), reverse=True)):
        group = batch.rows(lengths == length)
        for i in mine:
            part = group.part(i, n_parts)
            spare = not len(part.kind)
            samples = group.rows(slice(1)) if spare else part
            parts.append((i + g * n_parts, samples, 0.0 if spare else 1.0))
    return parts

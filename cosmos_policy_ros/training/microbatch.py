# SPDX-License-Identifier: Apache-2.0
"""How a batch is split into microbatches: samples that go through the network in one call.

A call of the network needs sequences of the same frames. Where frames that are hidden from the
value are left out, value samples go on their own, at their own length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.layout import SampleKind
from cosmos_policy_ros.training.dataset import Batch
import numpy as np


class Microbatch(NamedTuple):
    """Samples that go through the network in one call.

    Attributes:
        number: Its place among all microbatches of a step, which seeds its noise.
        samples: Samples whose sequences have the same frames.
        weight: 1, or 0 for a sample that only fills the call of a rank for which none is left.
    """

    number: int
    samples: Batch
    weight: float


def sample_kinds(policy: PolicyConfig) -> tuple[SampleKind, ...]:
    """Return the kind of sample that every value of ``Batch.kind`` stands for."""
    return ('policy', 'world_model', policy.value_kind)


def frames_of(batch: Batch, policy: PolicyConfig) -> list[int]:
    """Return the positions of the latent frames in the network's sequences of a batch.

    Args:
        batch: At least one sample.
        policy: Latent frames, and whether hidden ones are left out.

    Raises:
        ValueError: The samples have sequences of different frames.
    """
    kinds = sample_kinds(policy)
    first, *others = [policy.frames(kinds[kind]) for kind in np.unique(batch.kind)]
    if any(frames != first for frames in others):
        msg = f'sequences of {sorted(map(len, [first, *others]))} frames cannot share a call'
        raise ValueError(msg)
    return first


def split_batch(
    batch: Batch, policy: PolicyConfig, n_parts: int, mine: Iterable[int]
) -> list[Microbatch]:
    """Return the microbatches of a batch that one rank computes.

    Ranks that call a sharded network together have to do so equally often, so where no sample is
    left for one of them, it gets another's with weight 0.

    Args:
        batch: All samples of a step, the same on every rank.
        policy: Latent frames, and whether hidden ones are left out.
        n_parts: Microbatches of all ranks together, per length of sequences.
        mine: Numbers below ``n_parts`` of those that are returned.
    """
    lengths = np.array([len(policy.frames(kind)) for kind in sample_kinds(policy)])[batch.kind]
    microbatches = []
    for g, length in enumerate(sorted(set(lengths.tolist()), reverse=True)):
        group = batch.rows(lengths == length)
        for i in mine:
            part = group.part(i, n_parts)
            number = i + g * n_parts
            if len(part.kind):
                microbatches.append(Microbatch(number, part, 1.0))
            else:
                microbatches.append(Microbatch(number, group.rows(slice(1)), 0.0))
    return microbatches

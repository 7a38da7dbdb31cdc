# SPDX-License-Identifier: Apache-2.0
"""Training samples as latent sequences, and their loss."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.core.codec import write_value, write_vector
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.diffusion import draw_training_sigma, training_input
from cosmos_policy_ros.core.layout import SampleKind
from cosmos_policy_ros.core.networks import predict_velocity
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.data.dataset import Batch, POLICY
from cosmos_policy_ros.training.config import TrainConfig
from diffusers import CosmosTransformer3DModel
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

KINDS: tuple[SampleKind, ...] = ('policy', 'world_model', 'value')  # by ``Batch.kind``


@dataclass(frozen=True, eq=False)
class LatentStore:
    """The latents of every picture of the training data.

    Attributes:
        pictures: (n, C, h, w) float16.
        blank: (C, h, w) float32 latent of a black picture.
        text: (L, D) float32 embedding of the task.
    """

    pictures: Tensor
    blank: Tensor
    text: Tensor


def latent_sequences(
    batch: Batch, store: LatentStore, policy: PolicyConfig, stats: NormStats
) -> Tensor:
    """Return (B, C, T, h, w) float32 clean latents of a batch."""
    layout, n = policy.layout, len(batch.kind)
    x0 = torch.zeros(n, *policy.latent_shape)
    x0[:, :, 0] = store.blank
    for column, camera in enumerate(policy.cameras):
        now, then = layout.index(camera), layout.index(f'future_{camera}')
        x0[:, :, now] = store.pictures[batch.image_row[:, column]].float()
        x0[:, :, then] = store.pictures[batch.future_row[:, column]].float()
    chunk = torch.from_numpy(stats.normalize_actions(batch.chunk))
    write_vector(x0, layout.index('action'), chunk)
    proprio = torch.from_numpy(stats.normalize_proprio(batch.proprio))
    write_vector(x0, layout.index('proprio'), proprio)
    future = torch.from_numpy(stats.normalize_proprio(batch.future_proprio))
    write_vector(x0, layout.index('future_proprio'), future)
    write_value(x0, layout.index('value'), torch.from_numpy(batch.value))
    return x0


def loss_weights(batch: Batch, policy: PolicyConfig, action_weight: float) -> Tensor:
    """Return (B, C, T, h, w) weights: 0 where nothing is to be learned.

    Known frames count 0. In a policy sample, rows after a disturbance began are left out, and so
    are the future and the value, which the disturbance changed.
    """
    layout, shape = policy.layout, policy.latent_shape
    table = np.stack([layout.mask(layout.scored(kind)) for kind in KINDS])
    frames = torch.from_numpy(table[batch.kind])  # (B, T)
    is_policy = torch.from_numpy(batch.kind == POLICY)
    whole = torch.from_numpy(batch.imitate.all(axis=1))
    after = [layout.index(name) for name in (*layout.future, 'value')]
    frames[:, after] *= (whole | ~is_policy)[:, None]
    weights = frames[:, None, :, None, None].expand(-1, shape[0], -1, *shape[2:]).clone()
    rows = (
        torch.from_numpy(batch.imitate)
        .float()[..., None]
        .expand_as(torch.empty(batch.chunk.shape))
    )
    taught = torch.ones(len(rows), *shape)
    write_vector(taught, layout.index('action'), rows)
    weights *= taught
    weights[:, :, layout.index('action')] *= action_weight
    return weights


def velocity_loss(
    transformer: CosmosTransformer3DModel,
    batch: Batch,
    store: LatentStore,
    policy: PolicyConfig,
    stats: NormStats,
    config: TrainConfig,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss and the mean squared velocity error of every kind of frame.

    Differs from the reference: frames have weights (``action_weight``) and the mean runs over what
    is scored, not over known frames too, so that a value sample counts as much as a policy sample.
    """
    x0 = latent_sequences(batch, store, policy, stats)
    mask = torch.from_numpy(known_table(policy)[batch.kind])
    noise = torch.randn(x0.shape, generator=generator)
    sigma = draw_training_sigma(
        len(x0), x0.shape[2], generator, config.sigma_low, config.sigma_high
    )
    network_input, timestep, target = training_input(x0, noise, sigma, mask)
    text = store.text.expand(len(x0), -1, -1)
    with torch.autocast('cpu', torch.bfloat16):
        velocity = predict_velocity(transformer, network_input, timestep, text, mask)
    weights = loss_weights(batch, policy, config.action_weight)
    error = (velocity.float() - target).pow(2)
    loss = (error * weights).sum() / weights.sum()
    return loss, _frame_errors(error.detach(), weights, policy)


def _frame_errors(error: Tensor, weights: Tensor, policy: PolicyConfig) -> dict[str, float]:
    layout = policy.layout
    groups = {
        'action': [layout.index('action')],
        'future_proprio': [layout.index('future_proprio')],
        'future_images': [layout.index(f'future_{c}') for c in policy.cameras],
        'value': [layout.index('value')],
    }
    scored = (weights > 0).float()
    return {
        name: float((error[:, :, i] * scored[:, :, i]).sum() / scored[:, :, i].sum().clamp(min=1))
        for name, i in groups.items()
    }


def known_table(policy: PolicyConfig) -> NDArray[np.float32]:
    """Return (3, T) float32 condition masks of the kinds in ``KINDS``."""
    return np.stack([policy.layout.mask(policy.layout.known(kind)) for kind in KINDS])

# SPDX-License-Identifier: Apache-2.0
"""Training samples as latent sequences, and the error and weights of their loss."""

from __future__ import annotations

from cosmos_policy_ros.core.advantage import write_label
from cosmos_policy_ros.core.codec import write_value, write_vector
from cosmos_policy_ros.core.committed import BLANK, write_committed
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.diffusion import draw_training_sigma, training_input
from cosmos_policy_ros.core.networks import predict_velocity
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.dataset import Batch, POLICY
from cosmos_policy_ros.training.latent_cache import LatentCache
from cosmos_policy_ros.training.microbatch import frames_of, sample_kinds
from diffusers import CosmosTransformer3DModel
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

# What is learned, as the log names it.
FRAMES = ('action', 'future_proprio', 'future_images', 'value')


def latent_sequences(
    batch: Batch, cache: LatentCache, policy: PolicyConfig, stats: NormStats
) -> Tensor:
    """Return (B, C, T, h, w) float32 clean latents of a batch, vectors written, on the CPU.

    Args:
        batch: Samples in robot units.
        cache: Latents of their images.
        policy: Layout and sizes.
        stats: Ranges of actions and proprio.
    """
    layout, n = policy.layout, len(batch.kind)
    x0 = torch.zeros(n, *policy.latent_shape)
    x0[:, :, BLANK] = cache.blank
    shift = batch.version * (len(cache.latents) // cache.n_versions)
    for column, camera in enumerate(policy.cameras):
        now, then = layout.index(camera), layout.index(f'future_{camera}')
        after = column + len(policy.cameras)
        x0[:, :, now] = cache.latents[batch.latent_row[:, column] + shift].float()
        x0[:, :, then] = cache.latents[batch.latent_row[:, after] + shift].float()
    chunk = torch.from_numpy(stats.normalize_actions(batch.chunk))
    write_vector(x0, layout.index('action'), chunk)
    write_committed(x0, chunk, torch.from_numpy(batch.committed))
    proprio = torch.from_numpy(stats.normalize_proprio(batch.proprio))
    write_vector(x0, layout.index('proprio'), proprio)
    future = torch.from_numpy(stats.normalize_proprio(batch.future_proprio))
    write_vector(x0, layout.index('future_proprio'), future)
    write_value(x0, layout.index('value'), torch.from_numpy(batch.value))
    return x0


def loss_weights(
    batch: Batch, policy: PolicyConfig, action_weight: float, joint: bool = True
) -> Tensor:
    """Return the (B, C, T, h, w) float32 weights of the errors in the loss, on the CPU.

    The loss is the weighted sum of the squared errors divided by the sum of the weights. Known
    frames weigh 0. In a policy sample, rows of the chunk after a disturbance began weigh 0, and so
    do the future and the value, which the disturbance changed. Committed rows weigh 0 too: they
    are given.

    Differs from the reference: its mean runs over known frames too, so that a value sample counts
    a fraction of a policy sample, and all frames weigh the same.

    Args:
        batch: Samples.
        policy: Layout, and which frames a value sample is shown.
        action_weight: Weight of the action frame; the other scored frames weigh 1.
        joint: Whether policy samples teach future and value too, not the action alone.
    """
    layout, shape = policy.layout, policy.latent_shape
    table = np.stack([layout.mask(layout.scored(kind)) for kind in sample_kinds(policy)])
    frames = torch.from_numpy(table[batch.kind])  # (B, T)
    is_policy = torch.from_numpy(batch.kind == POLICY)
    whole = torch.from_numpy(batch.imitate.all(axis=1))
    after = [layout.index(name) for name in (*layout.future, 'value')]
    frames[:, after] *= ((whole & joint) | ~is_policy)[:, None]
    weights = frames[:, None, :, None, None].expand(-1, shape[0], -1, *shape[2:]).clone()
    free = np.arange(policy.horizon) >= batch.committed[:, None]
    imitated = torch.from_numpy(batch.imitate & free).float()[..., None]  # (B, H, 1)
    taught = torch.ones(len(imitated), *shape)
    write_vector(taught, layout.index('action'), imitated.expand(batch.chunk.shape))
    weights *= taught
    weights[:, :, layout.index('action')] *= action_weight
    return weights


def velocity_error(
    transformer: CosmosTransformer3DModel,
    batch: Batch,
    cache: LatentCache,
    policy: PolicyConfig,
    stats: NormStats,
    config: TrainConfig,
    generator: torch.Generator,
    device: torch.device,
) -> Tensor:
    """Return (B, C, T, h, w) float32 squared errors of the predicted velocity.

    Frames that are left out of the sequences have no error.

    Args:
        transformer: The network, on ``device``.
        batch: Samples whose sequences have the same frames.
        cache: Latents of their images, and embeddings of their tasks.
        policy: Layout and sizes.
        stats: Ranges of actions and proprio.
        config: Noise levels and precision.
        generator: Noise, drawn on the CPU so that it is the same on every device.
        device: Where to compute.
    """
    x0 = latent_sequences(batch, cache, policy, stats)
    mask = torch.from_numpy(known_table(policy)[batch.kind])
    noise = torch.randn(x0.shape, generator=generator)
    sigma = draw_training_sigma(
        len(x0), x0.shape[2], generator, policy.sigma_min, policy.sigma_max
    )
    frames = frames_of(batch, policy)
    x0, noise, mask = x0[:, :, frames], noise[:, :, frames], mask[:, frames]
    x0, mask, noise, sigma = (t.to(device) for t in (x0, mask, noise, sigma))
    network_input, timestep, target = training_input(x0, noise, sigma, mask)
    text = write_label(cache.text[batch.task], torch.from_numpy(batch.label)).to(device)
    half = config.precision == 'bfloat16'
    # Every weight is used once in a call, so a cache would only keep a second copy of them all.
    with torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False):
        velocity = predict_velocity(transformer, network_input, timestep, text, mask, frames)
    error = torch.zeros(len(x0), *policy.latent_shape, device=device)
    error[:, :, frames] = (velocity.float() - target).pow(2)
    return error


def frame_sums(error: Tensor, weights: Tensor, policy: PolicyConfig) -> Tensor:
    """Return (4, 2) float64 sums of squared errors and counts of scored numbers, by ``FRAMES``.

    Args:
        error: (B, C, T, h, w) squared errors, see ``velocity_error``.
        weights: (B, C, T, h, w) weights, see ``loss_weights``.
        policy: Layout of the frames.
    """
    layout = policy.layout
    groups = [
        [layout.index('action')],
        [layout.index('future_proprio')],
        [layout.index(f'future_{c}') for c in policy.cameras],
        [layout.index('value')],
    ]
    scored = (weights > 0).float()
    rows = [
        torch.stack([(error[:, :, i] * scored[:, :, i]).sum(), scored[:, :, i].sum()])
        for i in groups
    ]
    return torch.stack(rows).double()


def known_table(policy: PolicyConfig) -> NDArray[np.float32]:
    """Return the (3, T) float32 mask of known frames of every ``Batch.kind``."""
    return np.stack(
        [policy.layout.mask(policy.layout.known(kind)) for kind in sample_kinds(policy)]
    )

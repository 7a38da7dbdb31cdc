# SPDX-License-Identifier: Apache-2.0
"""What a transformer makes of samples when it denoises all that they do not show."""

from __future__ import annotations

from cosmos_policy_ros.core.diffusion import clean_estimate, sample, sigma_levels
from cosmos_policy_ros.core.networks import predict_velocity
from cosmos_policy_ros.training.batch import known_table, latent_sequences
from cosmos_policy_ros.training.dataset import Batch, VALUE
from cosmos_policy_ros.training.microbatch import frames_of
from cosmos_policy_ros.training.training_data import TrainingData
from diffusers import CosmosTransformer3DModel
import torch
from torch import Tensor

AT_ONCE = 128  # samples in one call of the network


def denoise_batch(
    transformer: CosmosTransformer3DModel,
    batch: Batch,
    training_data: TrainingData,
    device: torch.device,
    precision: str,
) -> Tensor:
    """Return (B, C, T, h, w) float32 sequences on the CPU, denoised from the known frames.

    Frames that are left out of the network's sequence stay as they truly are.

    Args:
        transformer: The network, on ``device``.
        batch: Samples of one kind, which says what is known.
        training_data: Layout, noise levels and latents.
        device: Where to compute.
        precision: bfloat16 or float32 arithmetic of the network.
    """
    n_parts = -(-len(batch.kind) // AT_ONCE)
    whole = torch.empty(len(batch.kind), *training_data.policy.latent_shape)
    for i in range(n_parts):
        part = batch.part(i, n_parts)
        whole[i::n_parts] = _denoise(transformer, part, training_data, device, precision)
    return whole


def _denoise(
    transformer: CosmosTransformer3DModel,
    batch: Batch,
    training_data: TrainingData,
    device: torch.device,
    precision: str,
) -> Tensor:
    policy, frames = training_data.policy, frames_of(batch, training_data.policy)
    whole = latent_sequences(batch, training_data.latents, policy, training_data.stats)
    truth = whole[:, :, frames].to(device)
    text = training_data.latents.text[batch.task].to(device)
    mask = torch.from_numpy(known_table(policy)[batch.kind])[:, frames].to(device)
    target = torch.nonzero(mask[0] == 0).flatten()  # the same in all samples of a kind
    steps = policy.value_steps if (batch.kind == VALUE).all() else policy.action_steps
    levels = sigma_levels(steps, policy.sigma_max, policy.sigma_min, policy.rho)
    noise = torch.randn(whole.shape, generator=torch.Generator().manual_seed(0))
    start = noise[:, :, frames].to(device).index_select(2, target) * policy.sigma_max

    def estimate(x: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        def velocity(x_t: Tensor, t: Tensor) -> Tensor:
            shown, known = truth[rows].index_copy(2, target, x_t), mask[rows]
            timestep = (1.0 - known) * t[:, None]
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == 'bfloat16'):
                of_all = predict_velocity(transformer, shown, timestep, text[rows], known, frames)
            return of_all.index_select(2, target).float()

        return clean_estimate(velocity, x, sigma)

    x = sample(estimate, start, [levels] * len(truth))
    whole[:, :, frames] = truth.index_copy(2, target, x.float()).cpu()
    return whole

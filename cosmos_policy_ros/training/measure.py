# SPDX-License-Identifier: Apache-2.0
"""How good a transformer is on episodes it was not trained on, without a simulator."""

from __future__ import annotations

from cosmos_policy_ros.core.codec import read_value, read_vector
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.diffusion import clean_estimate, sample, sigma_levels
from cosmos_policy_ros.core.networks import predict_velocity
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.data.dataset import POLICY, SampleTable
from cosmos_policy_ros.training.batch import known_table, latent_sequences, LatentStore
from diffusers import CosmosTransformer3DModel
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor


@torch.inference_mode()
def measure(
    transformer: CosmosTransformer3DModel,
    table: SampleTable,
    store: LatentStore,
    policy: PolicyConfig,
    stats: NormStats,
    n: int = 128,
) -> dict[str, float]:
    """Return figures of ``n`` demonstration samples, the same ones every time.

    Returns:
        ``action_l1_rad`` of the arm joints, also of the chunk's first, middle and last row,
        ``gripper_l1``, ``future_error`` (mean squared, latents; 1 would be no prediction),
        ``copy_error`` (of predicting no change) and ``value_l1``.
    """
    rng = np.random.default_rng(0)
    ticks = table.ticks()
    batch = table.take(ticks[rng.integers(len(ticks), size=n)], np.full(n, POLICY))
    truth = latent_sequences(batch, store, policy, stats)
    clean = denoise_known(transformer, truth, store.text, policy)
    size = (policy.horizon, policy.action_size)
    unit = read_vector(clean, policy.layout.index('action'), size[0] * size[1])
    chunk = stats.unnormalize_actions(unit.float().numpy().reshape(-1, *size))
    error = np.abs(chunk - batch.chunk)
    error[~batch.imitate] = np.nan
    arm = np.array([not name.endswith('gripper') for name in policy.joint_names])
    futures = [policy.layout.index(f'future_{c}') for c in policy.cameras]
    current = [policy.layout.index(c) for c in policy.cameras]
    value = read_value(clean, policy.layout.index('value')).numpy()
    whole = torch.from_numpy(batch.imitate.all(axis=1))
    return {
        'action_l1_rad': _mean(error[..., arm]),
        'action_l1_first': _mean(error[:, 0][:, arm]),
        'action_l1_middle': _mean(error[:, size[0] // 2][:, arm]),
        'action_l1_last': _mean(error[:, -1][:, arm]),
        'gripper_l1': _mean(error[..., ~arm]),
        'future_error': _square(clean[whole][:, :, futures], truth[whole][:, :, futures]),
        'copy_error': _square(truth[whole][:, :, current], truth[whole][:, :, futures]),
        'value_l1': _mean(np.abs(value - batch.value)[whole.numpy()]),
    }


def denoise_known(
    transformer: CosmosTransformer3DModel, truth: Tensor, text: Tensor, policy: PolicyConfig
) -> Tensor:
    """Return (B, C, T, h, w) float32 what the policy makes of the current frames of ``truth``."""
    mask = torch.from_numpy(known_table(policy)[POLICY])
    levels = sigma_levels(policy.action_steps, policy.sigma_max, policy.sigma_min, policy.rho)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))

    def denoise(x: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        def velocity(network_input: Tensor, timestep: Tensor) -> Tensor:
            r = len(network_input)
            with torch.autocast('cpu', torch.bfloat16):
                return predict_velocity(
                    transformer,
                    network_input,
                    timestep,
                    text.expand(r, -1, -1),
                    mask.expand(r, -1),
                ).float()

        return clean_estimate(velocity, x, sigma, truth[rows], mask)

    return sample(denoise, noise * policy.sigma_max, [levels] * len(truth)).float()


def _mean(errors: NDArray[np.float32]) -> float:
    return round(float(np.nanmean(errors)), 5)


def _square(a: Tensor, b: Tensor) -> float:
    return round(float((a - b).pow(2).mean()), 5)

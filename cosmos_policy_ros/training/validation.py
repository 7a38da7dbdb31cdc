# SPDX-License-Identifier: Apache-2.0
"""How good a transformer is on episodes it was not trained on, without a simulator."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.core.codec import read_value, read_vector
from cosmos_policy_ros.metrics import auc, calibration, psnr_db
from cosmos_policy_ros.training.batch import latent_sequences
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.dataset import Batch, POLICY, VALUE
from cosmos_policy_ros.training.denoise import denoise_batch
from cosmos_policy_ros.training.image_cache import decode_pictures, load_pictures
from cosmos_policy_ros.training.training_data import Material
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

FEW = 16  # samples whose pictures are decoded when that is expensive
Figures = dict[str, float | None]  # None where the data cannot say


@dataclass(frozen=True, eq=False)
class Exam:
    """The samples a transformer is measured on, the same ones every time.

    Attributes:
        policy: (B) demonstration samples asked for action, future and value.
        value: (B) samples of successes and failures asked for the value of the true future.
        outcome: (B,) bool, whether the episodes of ``value`` succeeded.
        now: (n, C, size, size, 3) uint8 RGB pictures of the first samples of ``policy`` at the
            observation.
        then: (n, C, size, size, 3) uint8 RGB pictures when their chunks end.
    """

    policy: Batch
    value: Batch
    outcome: NDArray[np.bool_]
    now: NDArray[np.uint8]
    then: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a transformer said to an exam.

    Attributes:
        chunk: (B, H, A) float32 actions [rad; gripper 0..1].
        futures: (n, C, size, size, 3) uint8 RGB predicted pictures.
        expected: (B,) float32 value denoised together with action and future.
        value: (B,) float32 value of the true future.
        latents: (B, channels, T, h, w) float32 denoised sequences of the policy samples.
    """

    chunk: NDArray[np.float32]
    futures: NDArray[np.uint8]
    expected: NDArray[np.float32]
    value: NDArray[np.float32]
    latents: Tensor


def set_exam(material: Material, config: TrainConfig, n: int = 128) -> Exam:
    """Return questions about the episodes held out, the same ones every time.

    Args:
        material: Training data.
        config: Cameras and image size.
        n: Samples of each kind.
    """
    rng = np.random.default_rng(0)
    table = material.held_out
    imitated, outcomes = table.imitated(), table.outcomes()
    batch = table.take(imitated[rng.integers(len(imitated), size=n)], np.full(n, POLICY))
    picks = outcomes[rng.integers(len(outcomes), size=n)]
    # Decoding with a causal autoencoder takes a second for every sample.
    n_pictures = n if material.policy.independent_frames else FEW
    rows = np.stack([batch.image_row[:n_pictures], batch.future_row[:n_pictures]])
    now, then = load_pictures(material.files, config, rows)
    return Exam(
        policy=batch,
        value=table.take(picks, np.full(n, VALUE)),
        outcome=np.array([table.tracks[e].success for e, _ in picks]),
        now=now,
        then=then,
    )


@torch.no_grad()  # weights gathered in inference mode could not be trained on afterwards
def answer(
    transformer: CosmosTransformer3DModel,
    vae: AutoencoderKLWan,
    exam: Exam,
    material: Material,
    device: torch.device,
) -> Answers:
    """Return what the transformer says to an exam.

    Args:
        transformer: Network, on ``device``.
        vae: Image autoencoder, on ``device``.
        exam: What is asked.
        material: Training data.
        device: Where to compute.
    """
    policy = material.policy
    size, value = (policy.horizon, policy.action_size), policy.layout.index('value')
    latents = denoise_batch(transformer, exam.policy, material, device)
    valued = denoise_batch(transformer, exam.value, material, device)
    unit = read_vector(latents, policy.layout.index('action'), size[0] * size[1])
    return Answers(
        chunk=material.stats.unnormalize_actions(unit.numpy().reshape(-1, *size)),
        futures=decode_pictures(vae, latents[: len(exam.now)], exam.now, policy, device),
        expected=read_value(latents, value).numpy(),
        value=read_value(valued, value).numpy(),
        latents=latents,
    )


def mark(answers: Answers, exam: Exam, material: Material) -> Figures:
    """Return the figures of an exam.

    Returns:
        ``action_l1_rad`` of the arm joints, also of the chunk's first, middle and last row;
        ``gripper_l1``; ``future_error`` (mean squared, latents; 1 would be no prediction) and
        ``copy_error`` (of predicting no change); the same two of the pictures as
        ``future_psnr_db`` and ``copy_psnr_db``, also of each camera; ``value_l1``; of the value
        of true futures ``value_auc`` (success against failure, None without one of both) and
        ``value_calibration`` (mean gap between predicted and actual return over ten bins).
    """
    policy, batch = material.policy, exam.policy
    error = np.abs(answers.chunk - batch.chunk)
    error[~batch.imitate] = np.nan
    arm = np.array([not name.endswith('gripper') for name in policy.joint_names])
    truth = latent_sequences(batch, material.store, policy, material.stats)
    futures = [policy.layout.index(f'future_{c}') for c in policy.cameras]
    current = [policy.layout.index(c) for c in policy.cameras]
    whole: NDArray[np.bool_] = np.asarray(batch.imitate.all(axis=1))
    rows, seen = torch.from_numpy(whole), whole[: len(exam.now)]
    there = truth[rows][:, :, futures]
    then, futures_seen, now = exam.then[seen], answers.futures[seen], exam.now[seen]
    pictures: Figures = {}
    for i, camera in enumerate(policy.cameras):
        pictures[f'future_psnr_db/{camera}'] = psnr_db(futures_seen[:, i], then[:, i])
        pictures[f'copy_psnr_db/{camera}'] = psnr_db(now[:, i], then[:, i])
    return {
        'action_l1_rad': _mean(error[..., arm]),
        'action_l1_first': _mean(error[:, 0][:, arm]),
        'action_l1_middle': _mean(error[:, policy.horizon // 2][:, arm]),
        'action_l1_last': _mean(error[:, -1][:, arm]),
        'gripper_l1': _mean(error[..., ~arm]),
        'future_error': _square(answers.latents[rows][:, :, futures], there),
        'copy_error': _square(truth[rows][:, :, current], there),
        'future_psnr_db': psnr_db(futures_seen, then),
        'copy_psnr_db': psnr_db(now, then),
        **pictures,
        'value_l1': _mean(np.abs(answers.expected - batch.value)[whole]),
        'value_auc': auc(answers.value, exam.outcome),
        'value_calibration': calibration(answers.value, exam.value.value),
    }


def _mean(errors: NDArray[np.float32]) -> float | None:
    known = errors[~np.isnan(errors)]
    return round(float(known.mean()), 5) if len(known) else None


def _square(a: Tensor, b: Tensor) -> float | None:
    return round(float((a - b).pow(2).mean()), 5) if len(a) else None

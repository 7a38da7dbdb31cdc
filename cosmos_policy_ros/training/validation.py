# SPDX-License-Identifier: Apache-2.0
"""How good a transformer is on episodes it was not trained on, without a simulator.

A validation set is drawn once, the transformer predicts its samples, and the metrics compare what
it predicted with what happened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cosmos_policy_ros.core.advantage import write_label
from cosmos_policy_ros.core.codec import read_value, read_vector
from cosmos_policy_ros.core.correction import Residuals
from cosmos_policy_ros.core.networks import predict_velocity
from cosmos_policy_ros.core.sampling import denoise_target, noise_levels
from cosmos_policy_ros.metrics import auc, calibration, psnr_db
from cosmos_policy_ros.training.batch import known_table, latent_sequences
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.dataset import Batch, POLICY, VALUE
from cosmos_policy_ros.training.image_cache import load_images
from cosmos_policy_ros.training.latent_cache import decode_futures
from cosmos_policy_ros.training.microbatch import frames_of
from cosmos_policy_ros.training.training_data import TrainingData
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

FEW = 16  # samples whose images are decoded by a causal autoencoder, a second each
AT_ONCE = 128  # samples in one call of the network
Metrics = dict[str, float | None]  # name -> number, None where the data do not determine it


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """The samples of held-out episodes that a transformer is measured on.

    Attributes:
        policy: B samples of demonstrations, of which action, future and value are predicted.
        value: B samples of successes and failures, of which the value of the true future is
            predicted.
        outcome: (B,) bool, whether the episodes of ``value`` succeeded.
        current_images: (n, C, size, size, 3) uint8 RGB of the first n samples of ``policy``, at
            the observation.
        future_images: (n, C, size, size, 3) uint8 RGB of the same samples, when the chunk ends.
    """

    policy: Batch
    value: Batch
    outcome: NDArray[np.bool_]
    current_images: NDArray[np.uint8]
    future_images: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a transformer for the B + B samples of a validation set.

    Attributes:
        chunk: (B, H, A) float32 actions [rad; gripper 0..1].
        future_images: (n, C, size, size, 3) uint8 RGB when the chunk ends.
        joint_value: (B,) float32 value in [0, 1], denoised together with action and future.
        value: (B,) float32 value in [0, 1] of the true future.
        latents: (B, channels, T, h, w) float32 denoised sequences of the policy samples.
    """

    chunk: NDArray[np.float32]
    future_images: NDArray[np.uint8]
    joint_value: NDArray[np.float32]
    value: NDArray[np.float32]
    latents: Tensor


def build_validation_set(
    training_data: TrainingData, config: TrainConfig, n: int = 128
) -> ValidationSet:
    """Draw a validation set from the held-out episodes; every call draws the same samples.

    A policy that knows labels is asked for what goes better than expected, as on a robot.

    Args:
        training_data: Held-out samples and the files of their images.
        config: Cameras and image size.
        n: Samples B of each kind.
    """
    rng = np.random.default_rng(0)
    table = training_data.held_out
    imitated, outcomes = table.imitated(), table.outcomes()
    batch = table.take(imitated[rng.integers(len(imitated), size=n)], np.full(n, POLICY))
    if config.advantage:
        batch = replace(batch, label=np.ones(n, dtype=np.int64))
    picks = outcomes[rng.integers(len(outcomes), size=n)]
    n_images = n if training_data.policy.independent_frames else FEW
    rows = np.stack([batch.image_row[:n_images], batch.future_row[:n_images]])
    current_images, future_images = load_images(training_data.files, config, rows)
    return ValidationSet(
        policy=batch,
        value=table.take(picks, np.full(n, VALUE)),
        outcome=np.array([table.episodes[e].success for e, _ in picks]),
        current_images=current_images,
        future_images=future_images,
    )


@torch.no_grad()  # weights gathered in inference mode could not be trained on afterwards
def predict(
    transformer: CosmosTransformer3DModel,
    vae: AutoencoderKLWan,
    validation_set: ValidationSet,
    training_data: TrainingData,
    device: torch.device,
    precision: str,
) -> Predictions:
    """Return the predictions of a transformer for a validation set.

    Args:
        transformer: The network, on ``device``.
        vae: Image autoencoder, on ``device``.
        validation_set: Samples to predict.
        training_data: Layout, ranges, noise levels and latents of the samples.
        device: Where to compute.
        precision: bfloat16 or float32 arithmetic of the network, as in the training.
    """
    policy = training_data.policy
    size, value = (policy.horizon, policy.action_size), policy.layout.index('value')
    latents = denoise_batch(transformer, validation_set.policy, training_data, device, precision)
    valued = denoise_batch(transformer, validation_set.value, training_data, device, precision)
    unit = read_vector(latents, policy.layout.index('action'), size[0] * size[1])
    current = validation_set.current_images
    return Predictions(
        chunk=training_data.stats.unnormalize_actions(unit.numpy().reshape(-1, *size)),
        future_images=decode_futures(vae, latents[: len(current)], current, policy, device),
        joint_value=read_value(latents, value).numpy(),
        value=read_value(valued, value).numpy(),
        latents=latents,
    )


def compute_metrics(
    predictions: Predictions, validation_set: ValidationSet, training_data: TrainingData
) -> Metrics:
    """Compare predictions with what happened.

    Args:
        predictions: What the transformer predicts for the validation set.
        validation_set: What happened.
        training_data: Layout, ranges and latents of the samples.

    Returns:
        ``action_l1_rad`` of the arm joints, also of the chunk's first, middle and last row;
        ``gripper_l1``; ``future_error`` (mean squared, latents; 1 would be no prediction) and
        ``copy_error`` (of predicting no change); the same two of the images as
        ``future_psnr_db`` and ``copy_psnr_db``, also of each camera; ``value_l1``; of the value
        of true futures ``value_auc`` (success against failure, None without one of both) and
        ``value_calibration`` (mean gap between predicted and actual return over ten bins).
    """
    policy, batch = training_data.policy, validation_set.policy
    error = np.abs(predictions.chunk - batch.chunk)
    error[~batch.imitate] = np.nan
    arm = policy.arm_joints
    truth = latent_sequences(batch, training_data.latents, policy, training_data.stats)
    futures = [policy.layout.index(f'future_{c}') for c in policy.cameras]
    current = [policy.layout.index(c) for c in policy.cameras]
    # A disturbance changes the future and the value, so such samples measure neither.
    whole: NDArray[np.bool_] = np.asarray(batch.imitate.all(axis=1))
    rows, with_images = torch.from_numpy(whole), whole[: len(validation_set.current_images)]
    true_futures = truth[rows][:, :, futures]
    now = validation_set.current_images[with_images]
    then = validation_set.future_images[with_images]
    predicted = predictions.future_images[with_images]
    by_camera: Metrics = {}
    for i, camera in enumerate(policy.cameras):
        by_camera[f'future_psnr_db/{camera}'] = psnr_db(predicted[:, i], then[:, i])
        by_camera[f'copy_psnr_db/{camera}'] = psnr_db(now[:, i], then[:, i])
    return {
        'action_l1_rad': _mean(error[..., arm]),
        'action_l1_first': _mean(error[:, 0][:, arm]),
        'action_l1_middle': _mean(error[:, policy.horizon // 2][:, arm]),
        'action_l1_last': _mean(error[:, -1][:, arm]),
        'gripper_l1': _mean(error[..., ~arm]),
        'future_error': _mean_square(predictions.latents[rows][:, :, futures], true_futures),
        'copy_error': _mean_square(truth[rows][:, :, current], true_futures),
        'future_psnr_db': psnr_db(predicted, then),
        'copy_psnr_db': psnr_db(now, then),
        **by_camera,
        'value_l1': _mean(np.abs(predictions.joint_value - batch.value)[whole]),
        'value_auc': auc(predictions.value, validation_set.outcome),
        'value_calibration': calibration(predictions.value, validation_set.value.value),
    }


def compute_residuals(
    predictions: Predictions, validation_set: ValidationSet, training_data: TrainingData
) -> Residuals | None:
    """Return how the errors of the predicted chunks go together, for ``core.correction``.

    Chunks in which a disturbance begins are left out; None if that leaves none.

    Args:
        predictions: What the transformer predicts for the validation set.
        validation_set: What was demonstrated.
        training_data: Ranges and joints of the actions.
    """
    batch, stats = validation_set.policy, training_data.stats
    whole: NDArray[np.bool_] = np.asarray(batch.imitate.all(axis=1))
    if not whole.any():
        return None
    return Residuals.from_chunks(
        stats.normalize_actions(predictions.chunk[whole]),
        stats.normalize_actions(batch.chunk[whole]),
        training_data.policy.arm_joints,
    )


def denoise_batch(
    transformer: CosmosTransformer3DModel,
    batch: Batch,
    training_data: TrainingData,
    device: torch.device,
    precision: str,
) -> Tensor:
    """Return (B, C, T, h, w) float32 sequences on the CPU, denoised from the known frames.

    Frames that are left out of the network's sequence stay as they truly are. The noise is the
    same in every call.

    Args:
        transformer: The network, on ``device``.
        batch: Samples of one kind, which sets the known frames.
        training_data: Layout, noise levels and latents.
        device: Where to compute.
        precision: bfloat16 or float32 arithmetic of the network, as in the training.
    """
    n_parts = -(-len(batch.kind) // AT_ONCE)
    sequences = torch.empty(len(batch.kind), *training_data.policy.latent_shape)
    for i in range(n_parts):
        part = batch.part(i, n_parts)
        sequences[i::n_parts] = _denoise_part(transformer, part, training_data, device, precision)
    return sequences


def _denoise_part(
    transformer: CosmosTransformer3DModel,
    batch: Batch,
    training_data: TrainingData,
    device: torch.device,
    precision: str,
) -> Tensor:
    """Return the denoised sequences of samples that go through the network in one call."""
    policy, frames = training_data.policy, frames_of(batch, training_data.policy)
    sequences = latent_sequences(batch, training_data.latents, policy, training_data.stats)
    context = sequences[:, :, frames].to(device)
    text = training_data.latents.text[batch.task]
    text = write_label(text, torch.from_numpy(batch.label)).to(device)
    mask = torch.from_numpy(known_table(policy)[batch.kind])[:, frames].to(device)
    target = torch.nonzero(mask[0] == 0).flatten()  # the same in all samples of a kind
    steps = policy.value_steps if (batch.kind == VALUE).all() else policy.action_steps
    levels = noise_levels(policy, steps)
    noise = torch.randn(sequences.shape, generator=torch.Generator().manual_seed(0))
    x_init = noise[:, :, frames].to(device).index_select(2, target) * policy.sigma_max

    def velocity(latents: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        known = mask[rows]
        timestep = (1.0 - known) * t[:, None]
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == 'bfloat16'):
            of_all = predict_velocity(transformer, latents, timestep, text[rows], known, frames)
        return of_all.index_select(2, target).float()

    x = denoise_target(velocity, context, target, x_init, [levels] * len(context))
    sequences[:, :, frames] = context.index_copy(2, target, x.float()).cpu()
    return sequences


def _mean(errors: NDArray[np.float32]) -> float | None:
    """Return the mean of the errors that are not NaN, None if there are none."""
    known = errors[~np.isnan(errors)]
    return round(float(known.mean()), 5) if len(known) else None


def _mean_square(a: Tensor, b: Tensor) -> float | None:
    """Return the mean squared difference, None of no rows."""
    return round(float((a - b).pow(2).mean()), 5) if len(a) else None

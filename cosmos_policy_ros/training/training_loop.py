# SPDX-License-Identifier: Apache-2.0
"""The loop that trains the transformer: optimiser steps, validation, the log and saved states.

What is drawn at a step depends on the seed, the step and the number of microbatches of a batch,
not on when a run was interrupted nor on how the microbatches are spread over ranks.
"""

from __future__ import annotations

from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.training.batch import frame_sums, FRAMES, loss_weights, velocity_error
from cosmos_policy_ros.training.committed import commit_rows
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.distributed import Ranks
from cosmos_policy_ros.training.microbatch import split_batch
from cosmos_policy_ros.training.run_log import RunLog
from cosmos_policy_ros.training.state import save_state, trained_weights, TrainingState
from cosmos_policy_ros.training.training_data import TrainingData
from cosmos_policy_ros.training.transformer import prepare_transformer
from cosmos_policy_ros.training.validation import (
    build_validation_set,
    compute_metrics,
    Metrics,
    predict,
)
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import numpy as np
import torch
from torch import Tensor

LOG_STEPS = 100  # steps between two lines of the log


def new_state(
    policy: PolicyConfig,
    config: TrainConfig,
    start: CosmosTransformer3DModel | None,
    ranks: Ranks,
) -> TrainingState:
    """Return the state before the first step, sharded over the ranks.

    Args:
        policy: Channels and sizes of the latents.
        config: Configuration of the run.
        start: Transformer that the run begins with, changed in place; None begins with a new one.
        ranks: The ranks of the run.
    """
    torch.manual_seed(config.seed)  # the same start whether stages 1 to 3 ran now or before
    return shard_state(prepare_transformer(policy, config, start), config, ranks)


def shard_state(
    model: CosmosTransformer3DModel, config: TrainConfig, ranks: Ranks
) -> TrainingState:
    """Return the state of a model before the first step, sharded over the ranks.

    Args:
        model: Transformer that is trained, changed in place.
        config: Configuration of the run.
        ranks: The ranks of the run.
    """
    if config.checkpointing:
        model.enable_gradient_checkpointing()
    half = config.precision == 'bfloat16'
    ranks.shard(model, model.transformer_blocks, 'bfloat16' if half else 'float32')
    weights = trained_weights(model)
    optimizer = torch.optim.AdamW(
        weights, config.learning_rate, (0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
    return TrainingState(model, [w.detach().clone() for w in weights], optimizer)


def train_transformer(
    state: TrainingState,
    training_data: TrainingData,
    vae: AutoencoderKLWan,
    work: Path,
    config: TrainConfig,
    ranks: Ranks,
) -> None:
    """Do the optimiser steps that are left, validating, logging and saving on the way.

    Args:
        state: State of the run, changed in place.
        training_data: Samples to train on and to validate on.
        vae: Image autoencoder, on the device of the rank.
        work: Folder of the run.
        config: Configuration of the run.
        ranks: The ranks of the run.

    Raises:
        ConfigError: The loss is not finite.
    """
    # Fused element-wise work makes a step a quarter faster, after a minute of compiling.
    network: Any = torch.compile(state.model) if config.compile else state.model
    validation_set = build_validation_set(training_data, config)
    run_log = RunLog(work, state.step, config.updates) if ranks.first else None
    sums, saved_s = torch.zeros(len(FRAMES) + 1, 2, dtype=torch.float64), time.monotonic()
    try:
        while state.step < config.updates:
            sums += update(network, state, training_data, config, ranks)
            metrics: Metrics = {}
            if state.step % LOG_STEPS == 0:
                means = (sums[:, 0] / sums[:, 1].clamp(min=1)).tolist()
                metrics |= {
                    name: round(mean, 5)
                    for name, mean in zip(('loss', *FRAMES), means, strict=True)
                }
                sums.zero_()
            if state.step % config.measure_every == 0:
                with state.averaged():
                    predictions = predict(
                        state.model,
                        vae,
                        validation_set,
                        training_data,
                        ranks.device,
                        config.precision,
                    )
                metrics |= compute_metrics(predictions, validation_set, training_data)
                if run_log:
                    run_log.write_figures(state.step, validation_set, predictions)
            if run_log:
                run_log.advance(state.step)
                if metrics:
                    run_log.write(state.step, metrics)
            # Only where the log begins a new line, so that a resumed run writes the same log.
            late = state.step % LOG_STEPS == 0 and ranks.any(
                time.monotonic() - saved_s > config.save_s
            )
            if late or state.step == config.updates:
                save_state(work / 'state.safetensors', state, ranks)
                saved_s = time.monotonic()
    finally:
        if run_log:
            run_log.close()


def update(
    network: Any,
    state: TrainingState,
    training_data: TrainingData,
    config: TrainConfig,
    ranks: Ranks,
) -> Tensor:
    """Do one optimiser step and return (1 + frames, 2) float64 sums and counts for the log.

    Args:
        network: The state's model, or what it was compiled to.
        state: State of the run, changed in place.
        training_data: Samples to draw from.
        config: Configuration of the run.
        ranks: The ranks of the run, all of which have to call this.

    Raises:
        ConfigError: The loss is not finite.
    """
    n_parts = config.accumulate * ranks.size
    rng = np.random.default_rng((config.seed, state.step))
    batch = training_data.trained.draw(config.batch_size, rng)
    policy = training_data.policy
    if config.committed_rows:
        batch = commit_rows(batch, config.committed_rows, policy.arm_joints, rng)
    mine = range(ranks.rank, n_parts, ranks.size)
    microbatches = split_batch(batch, policy, n_parts, mine)
    weights = [
        one.weight
        * loss_weights(one.samples, policy, config.action_weight, config.joint).to(ranks.device)
        for one in microbatches
    ]
    total = ranks.sum(torch.stack([w.sum() for w in weights]).sum())
    sums = torch.zeros(len(FRAMES) + 1, 2, dtype=torch.float64)
    for one, weight in zip(microbatches, weights, strict=True):
        entropy = (config.seed, state.step, one.number)
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        error = velocity_error(
            network,
            one.samples,
            training_data.latents,
            policy,
            training_data.stats,
            config,
            torch.Generator().manual_seed(seed),
            ranks.device,
        )
        loss = (error * weight).sum() / total
        (loss * ranks.size).backward()  # the ranks' gradients are averaged
        sums[0, 0] += loss.item()
        sums[1:] += frame_sums(error.detach(), weight, policy).cpu()
    sums = ranks.sum(sums)
    sums[0, 1] = 1.0
    if not torch.isfinite(sums[0, 0]):
        msg = f'the loss is not finite at step {state.step}; lower learning_rate and resume'
        raise ConfigError(msg)
    torch.nn.utils.clip_grad_norm_(state.weights, 1.0)
    for group in state.optimizer.param_groups:
        group['lr'] = config.learning_rate * learning_rate_factor(state.step, config)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.update_average(min(config.ema, (1 + state.step) / (10 + state.step)))
    return sums


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Return the learning rate of a step as a factor of the peak learning rate.

    Differs from the reference: the default is flat in the middle and falls to 0 at the end, so
    that the length of a run can be decided while it runs; ``schedule: reference`` is the
    reference's.
    """
    up = min(1.0, (step + 1) / max(1, config.warmup))
    if config.schedule == 'reference':
        along = (step - config.warmup) / max(1, config.decay - config.warmup)
        return up * (1.0 - 0.7 * max(0.0, along)) if step < config.decay else 0.06
    return up * min(1.0, (config.updates - step) / max(1, config.decay))

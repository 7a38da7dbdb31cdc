# SPDX-License-Identifier: Apache-2.0
"""One training run from a folder of episodes to a checkpoint, resumable after every stage.

1. episodes -> pictures and tracks · 2. autoencoder · 3. latents of all pictures · 4. transformer ·
5. checkpoint. ``<out>/work`` keeps what a resumed run needs; it may be deleted afterwards.

What is drawn at a step depends on the seed, the step and the number of parts a batch is computed
in, not on when a run was interrupted nor on how the parts are spread over processes.
"""

from __future__ import annotations

from collections.abc import Sequence
import copy
import json
import logging
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.core.checkpoint import load_checkpoint, save_checkpoint
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.training.batch import frame_sums, FRAMES, loss_weights, velocity_error
from cosmos_policy_ros.training.config import open_run, TrainConfig, write_train_config
from cosmos_policy_ros.training.distributed import join_processes, Processes
from cosmos_policy_ros.training.episode_cache import n_left_out, name_episodes, prepare_bags
from cosmos_policy_ros.training.microbatch import deal
from cosmos_policy_ros.training.run_log import Board, write_pictures
from cosmos_policy_ros.training.state import (
    load_state,
    save_state,
    trained_weights,
    TrainingState,
)
from cosmos_policy_ros.training.training_data import load_autoencoder, load_material, Material
from cosmos_policy_ros.training.transformer import finish_transformer, prepare_transformer
from cosmos_policy_ros.training.validation import answer, Figures, mark, set_exam
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import numpy as np
import torch
from torch import Tensor

logger = logging.getLogger(__name__)
LOG_STEPS = 100  # steps between two lines of the log


def train(
    data: Sequence[Path],
    out: Path,
    robot: RobotSpec,
    config: TrainConfig,
    init: Path | None = None,
    resume: bool = False,
) -> Figures:
    """Train, write the checkpoint to ``out`` and return its figures.

    Args:
        data: Folders of episodes.
        out: Checkpoint folder.
        robot: Robot of the episodes.
        config: What to do.
        init: Checkpoint whose networks the run starts from; None starts from scratch.
        resume: Go on with the run that was interrupted in ``out``.

    Raises:
        ConfigError: The data or ``init`` cannot be used, or ``out`` holds another run.
    """
    work = out / 'work'
    with join_processes() as processes:
        if config.batch_size < config.accumulate * processes.size:
            msg = (
                f'batch_size is {config.batch_size}, less than the {config.accumulate} parts of '
                f'each of {processes.size} processes; raise it or lower accumulate'
            )
            raise ConfigError(msg)
        if processes.first:
            name_episodes(data)  # a wrong folder is refused before a run begins
            open_run(work, config, resume)
        processes.wait()
        torch.manual_seed(config.seed)
        start = load_checkpoint(init) if init else None
        for turn in (processes.first, not processes.first):
            if turn:  # the first process prepares the files, the others then find them
                # 1. episodes -> pictures and tracks
                files = prepare_bags(data, work / 'episodes', robot, config)
                # 2. autoencoder
                first_vae = start.vae if start else None
                vae = load_autoencoder(files, work, config, first_vae, processes.device)
                # 3. latents
                material = load_material(files, vae, work, robot, config, start)
            processes.wait()
        # 4. transformer
        first = start.transformer if start else None
        state = _new_state(material.policy, config, first, processes)
        file = work / 'state.safetensors'
        if file.exists():
            load_state(file, state)
            logger.info('continuing at step %d', state.step)
        _train_transformer(state, material, vae, work, config, processes)
        exam = set_exam(material, config, 512)
        with state.averaged():
            said = answer(state.model, vae, exam, material, processes.device)
            figures = mark(said, exam, material)
            figures |= {'episodes': len(files), 'episodes_left_out': n_left_out(work / 'episodes')}
            weights = state.whole_weights()
        # 5. checkpoint, half precision on disk
        if processes.first:
            write_pictures(work / 'sheets', 'final', exam, said)
            transformer = finish_transformer(material.policy, config, first, weights).half()
            parts = (material.policy, material.stats, material.text, transformer)
            save_checkpoint(out, *parts, copy.deepcopy(vae).cpu().half())
            write_train_config(out / 'train.yaml', config)
            text = json.dumps(figures, indent=2) + '\n'
            (out / 'figures.json').write_text(text, encoding='utf-8')
    return figures


def _new_state(
    policy: PolicyConfig,
    config: TrainConfig,
    start: CosmosTransformer3DModel | None,
    processes: Processes,
) -> TrainingState:
    """Return the state before the first step, divided among the processes."""
    torch.manual_seed(config.seed)  # the same start whether stages 1 to 3 ran now or before
    model = prepare_transformer(policy, config, start)
    if config.checkpointing:
        model.enable_gradient_checkpointing()
    processes.share(model, model.transformer_blocks)
    weights = trained_weights(model)
    optimizer = torch.optim.AdamW(
        weights, config.learning_rate, (0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
    return TrainingState(model, [w.detach().clone() for w in weights], optimizer)


def _train_transformer(
    state: TrainingState,
    material: Material,
    vae: AutoencoderKLWan,
    work: Path,
    config: TrainConfig,
    processes: Processes,
) -> None:
    """Do the steps that are left."""
    # Fused element-wise work makes a step a quarter faster, after a minute of compiling.
    network: Any = torch.compile(state.model) if config.compile else state.model
    exam = set_exam(material, config)
    board = Board(work, state.step, config.updates) if processes.first else None
    sums, saved_s = torch.zeros(len(FRAMES) + 1, 2, dtype=torch.float64), time.monotonic()
    try:
        while state.step < config.updates:
            sums += _step(network, state, material, config, processes)
            figures: Figures = {}
            if state.step % LOG_STEPS == 0:
                means = (sums[:, 0] / sums[:, 1].clamp(min=1)).tolist()
                figures |= {n: round(m, 5) for n, m in zip(('loss', *FRAMES), means, strict=True)}
                sums.zero_()
            if state.step % config.measure_every == 0:
                with state.averaged():
                    said = answer(state.model, vae, exam, material, processes.device)
                figures |= mark(said, exam, material)
                if board:
                    board.show(state.step, exam, said)
            if board:
                board.advance(state.step)
                if figures:
                    board.write(state.step, figures)
            # Only where the log begins a new line, so that a resumed run writes the same log.
            late = state.step % LOG_STEPS == 0 and processes.any(
                time.monotonic() - saved_s > config.save_s
            )
            if late or state.step == config.updates:
                save_state(work / 'state.safetensors', state, processes)
                saved_s = time.monotonic()
    finally:
        if board:
            board.close()


def _step(
    network: Any,
    state: TrainingState,
    material: Material,
    config: TrainConfig,
    processes: Processes,
) -> Tensor:
    """Do one optimiser step and return (1 + frames, 2) float64 sums and counts for the log."""
    n_parts = config.accumulate * processes.size
    batch = material.trained.draw(
        config.batch_size, np.random.default_rng((config.seed, state.step))
    )
    mine = range(processes.rank, n_parts, processes.size)
    parts = deal(batch, material.policy, n_parts, mine)
    weights = [
        w
        * loss_weights(p, material.policy, config.action_weight, config.joint).to(processes.device)
        for _, p, w in parts
    ]
    total = processes.sum(torch.stack([w.sum() for w in weights]).sum())
    sums = torch.zeros(len(FRAMES) + 1, 2, dtype=torch.float64)
    for (i, part, _), weight in zip(parts, weights, strict=True):
        seed = int(np.random.SeedSequence((config.seed, state.step, i)).generate_state(1)[0])
        error = velocity_error(
            network, part, material.store, material.policy, material.stats, config,
            torch.Generator().manual_seed(seed), processes.device,
        )  # fmt: skip
        loss = (error * weight).sum() / total
        (loss * processes.size).backward()  # the processes' gradients are averaged
        sums[0, 0] += loss.item()
        sums[1:] += frame_sums(error.detach(), weight, material.policy).cpu()
    sums = processes.sum(sums)
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
    state.follow(min(config.ema, (1 + state.step) / (10 + state.step)))
    return sums


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Return the factor of the peak learning rate at a step.

    Differs: the default is flat in the middle and falls to 0 at the end, so that the length of a
    run can be decided while it runs; ``schedule: reference`` is the reference's.
    """
    up = min(1.0, (step + 1) / max(1, config.warmup))
    if config.schedule == 'reference':
        along = (step - config.warmup) / max(1, config.decay - config.warmup)
        return up * (1.0 - 0.7 * max(0.0, along)) if step < config.decay else 0.06
    return up * min(1.0, (config.updates - step) / max(1, config.decay))

# SPDX-License-Identifier: Apache-2.0
"""One training run from a folder of episodes to a checkpoint, resumable after every stage.

1. episodes -> images and joints · 2. autoencoder · 3. latents of all images, and with
``advantage`` the labels of all chunks · 4. transformer · 5. checkpoint. ``<out>/work`` keeps what
a resumed run needs; it may be deleted afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
import copy
from dataclasses import replace
import json
import logging
from pathlib import Path
from typing import Any

from cosmos_policy_ros.core.checkpoint import load_checkpoint, save_checkpoint
from cosmos_policy_ros.data.bags.gripper_scale import KEYS
from cosmos_policy_ros.data.bags.provenance import hash_checkpoint
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.training.advantages import find_judge, label_samples
from cosmos_policy_ros.training.config import (
    check_cameras,
    open_run,
    TrainConfig,
    write_train_config,
)
from cosmos_policy_ros.training.distributed import join_ranks
from cosmos_policy_ros.training.episode_cache import (
    count_left_out,
    name_episodes,
    prepare_episodes,
)
from cosmos_policy_ros.training.precision import choose_precision
from cosmos_policy_ros.training.residuals import warn_if_few
from cosmos_policy_ros.training.state import load_state
from cosmos_policy_ros.training.training_data import load_autoencoder, load_training_data
from cosmos_policy_ros.training.training_loop import new_state, train_transformer
from cosmos_policy_ros.training.transformer import finish_transformer
from cosmos_policy_ros.training.validation import (
    build_validation_set,
    compute_metrics,
    compute_residuals,
    Metrics,
    predict,
)
from cosmos_policy_ros.training.validation_figures import write_figures
from cosmos_policy_ros.types import ConfigError
import torch

logger = logging.getLogger(__name__)


def train(
    data: Sequence[Path],
    out: Path,
    robot: RobotSpec,
    config: TrainConfig,
    init: Path | None = None,
    resume: bool = False,
    reading: Reading | None = None,
) -> Metrics:
    """Train, write the checkpoint to ``out`` and return its metrics on held-out episodes.

    Args:
        data: Folders of episodes.
        out: Checkpoint folder.
        robot: Robot of the episodes.
        config: Configuration of the run.
        init: Checkpoint whose networks the run starts from; None starts from scratch.
        resume: Go on with the run that was interrupted in ``out``.
        reading: What the episodes leave open.

    Raises:
        ConfigError: The data or ``init`` cannot be used, the configuration names cameras that the
            robot does not have, or ``out`` holds another run.
    """
    check_cameras(config, robot)
    work = out / 'work'
    with join_ranks() as ranks:
        if config.batch_size < config.accumulate * ranks.size:
            msg = (
                f'batch_size is {config.batch_size}, less than the {config.accumulate} parts of '
                f'each of {ranks.size} processes; raise it or lower accumulate'
            )
            raise ConfigError(msg)
        # What is wrong is refused before a run begins.
        start = load_checkpoint(init) if init else None
        judge = find_judge(start, config) if config.advantage else None
        if ranks.first:
            name_episodes(data)
            open_run(work, config, resume, _begun(robot, init))
        ranks.barrier()
        if config.precision == 'auto':
            slow = ranks.any(choose_precision(ranks.device) == 'float32')
            config = replace(config, precision='float32' if slow else 'bfloat16')
            logger.info('precision: %s, the faster one here', config.precision)
        torch.manual_seed(config.seed)
        for turn in (ranks.first, not ranks.first):
            if turn:  # the first rank prepares the files, the others then find them
                # 1. episodes -> images and joints
                recipe = replace(start.config.recipe, size=config.image_size) if start else None
                files = prepare_episodes(
                    data, work / 'episodes', robot, config, reading=reading, recipe=recipe
                )
                # 2. autoencoder
                first_vae = start.vae if start else None
                vae = load_autoencoder(files, work, config, first_vae, ranks.device)
                # 3. latents
                training_data = load_training_data(files, vae, work, robot, config, start)
                if judge is not None:
                    training_data = label_samples(training_data, judge, work, config, ranks.device)
            ranks.barrier()
        # 4. transformer
        first = start.transformer if start else None
        state = new_state(training_data.policy, config, first, ranks)
        file = work / 'state.safetensors'
        if file.exists():
            load_state(file, state)
            logger.info('continuing at step %d', state.step)
        train_transformer(state, training_data, vae, work, config, ranks)
        validation_set = build_validation_set(training_data, config, 512)
        with state.averaged():
            predictions = predict(
                state.model, vae, validation_set, training_data, ranks.device, config.precision
            )
            metrics = compute_metrics(predictions, validation_set, training_data)
            metrics |= {
                'episodes': len(files),
                'episodes_left_out': count_left_out(work / 'episodes'),
            }
            weights = state.gather_weights(frozen=True)
        # 5. checkpoint, half precision on disk
        if ranks.first:
            write_figures(work / 'sheets', 'final', validation_set, predictions)
            warn_if_few(len({episode for episode, _ in training_data.held_out.imitated()}))
            transformer = finish_transformer(state.model.config, config.lora, weights).half()
            save_checkpoint(
                out,
                training_data.policy,
                training_data.stats,
                training_data.text,
                transformer,
                copy.deepcopy(vae).cpu().half(),
                compute_residuals(predictions, validation_set, training_data),
            )
            write_train_config(out / 'train.yaml', config)
            text = json.dumps(metrics, indent=2) + '\n'
            with whole_file(out / 'figures.json') as partial:
                partial.write_text(text, encoding='utf-8')
    return metrics


def _begun(robot: RobotSpec, init: Path | None) -> dict[str, Any]:
    """Return what the files of a run are made with beside its configuration, by option."""
    scales = {
        arm.name: {key: getattr(arm.gripper, key) for key in KEYS}
        for arm in robot.arms
        if arm.gripper
    }
    about = {'joints': robot.joint_names, 'grippers': scales}
    begun = {'--init': hash_checkpoint(init) if init else None, '--robot': about}
    return dict(json.loads(json.dumps(begun)))  # with lists, as they are read back

# SPDX-License-Identifier: Apache-2.0
"""Which chunks of demonstrations and rollouts went better than expected.

The value of a checkpoint, denoised together with the action at an observation, is the return that
it expects when the chunk ends. The return that came then tells whether the chunk went better:
its advantage is the difference. It ranks scenes well where it cannot rank candidates of one, and
this needs no more. What people did who took over from a policy counts as better.

A policy that imitates successes alone has never denoised the value of a failure together with an
action: what it expects is the return *if* the task is done, and by that a slow success would be
worse than expected. So the value is scaled, for every task, to what came of it where a policy
acted.

Source: RECAP of pi*0.6 (Physical Intelligence 2025). Differs: the return of the episode is taken
at the end of the chunk, the threshold is 0, and the value is that of the policy, scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
import copy
from dataclasses import replace
import logging
from pathlib import Path
from typing import Any

from cosmos_policy_ros.core.checkpoint import Checkpoint
from cosmos_policy_ros.core.codec import read_value
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.progress import track
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.dataset import CachedEpisode, POLICY
from cosmos_policy_ros.training.training_data import TrainingData
from cosmos_policy_ros.training.validation import denoise_batch
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
import torch

logger = logging.getLogger(__name__)
FILE = 'advantages.npz'
JUDGED_BY = ('cameras', 'image_size', 'rate_hz', 'horizon', 'return_discount')  # of --init
VALUE_ROWS = 4  # rows between two values that are predicted; between them they are interpolated


def find_judge(start: Checkpoint | None, config: TrainConfig) -> Checkpoint:
    """Return the checkpoint whose value tells what was to be expected.

    Args:
        start: That of --init.
        config: What it would be shown: rows, images and ranges.

    Raises:
        ConfigError: There is none, or it would be shown something else than it was trained on,
            and its values were those of something else.
    """
    if start is None:
        msg = 'advantage: true labels chunks by the value of the checkpoint of --init; give --init'
        raise ConfigError(msg)
    facts = start.config
    pairs: dict[str, tuple[Any, Any]] = {  # ours and theirs
        **{name: (getattr(config, name), getattr(facts, name)) for name in JUDGED_BY},
        'ranges': (config.ranges, 'init'),
        'autoencoder: updates': (config.autoencoder.updates, 0),
        'whether there is augment': (config.augment > 0, facts.centre_crop),
    }
    if wrong := {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}:
        told = ', '.join(
            f'{name} must be {theirs}, got {ours}' for name, (ours, theirs) in wrong.items()
        )
        msg = f'advantage: true asks the value of --init about what it was trained on: {told}'
        raise ConfigError(msg)
    return start


def label_samples(
    training_data: TrainingData,
    start: Checkpoint,
    work: Path,
    config: TrainConfig,
    device: torch.device,
) -> TrainingData:
    """Return the training data with every chunk labelled; its advantages are found once.

    Args:
        training_data: Samples without labels.
        start: What ``find_judge`` returned.
        work: Folder of the run, which keeps the advantages.
        config: Precision, and how many samples lose their label.
        device: Where to compute.

    Raises:
        ConfigError: The episodes changed since their advantages were found.
    """
    table, file = training_data.trained, work / FILE
    if not file.exists():
        found = find_advantages(training_data, start, config, device)
        with whole_file(file) as partial:
            np.savez(partial, *found)
    with np.load(file) as data:
        advantages = [data[name] for name in data.files]
    if [len(a) for a in advantages] != [len(e.actions) for e in table.episodes]:
        msg = f'{file} is of other episodes; begin another run with --out'
        raise ConfigError(msg)
    labels = [
        (advantage > 0.0) | episode.intervention
        for advantage, episode in zip(advantages, table.episodes, strict=True)
    ]
    logger.info('better than expected: %s', describe_labels(table.episodes, labels))
    return replace(training_data, trained=table.labelled(labels, config.label_drop))


@torch.no_grad()
def find_advantages(
    training_data: TrainingData, start: Checkpoint, config: TrainConfig, device: torch.device
) -> list[NDArray[np.float32]]:
    """Return the (S,) float32 advantage of the chunk that begins at every tick, by episode.

    It is the return less the value, scaled by ``shares_that_came_true``.

    Args:
        training_data: Samples, and the layout and noise levels of the checkpoint.
        start: The checkpoint whose value is asked, without a label.
        config: Precision of the network.
        device: Where to compute.
    """
    table = training_data.trained
    transformer = copy.deepcopy(start.transformer).to(device).eval()
    index, values = training_data.policy.layout.index('value'), []
    for number, episode in enumerate(track(table.episodes, 'judging chunks')):
        last = len(episode.actions) - 1
        ticks = np.unique(np.append(np.arange(0, last, VALUE_ROWS * table.stride), last))
        picks = np.stack([np.full_like(ticks, number), ticks], axis=1)
        batch = table.take(picks, np.full(len(ticks), POLICY))
        latents = denoise_batch(transformer, batch, training_data, device, config.precision)
        values.append(np.interp(np.arange(last + 1), ticks, read_value(latents, index).numpy()))
    returns = [table.returns_ahead(number) for number in range(len(table.episodes))]
    shares = shares_that_came_true(table.episodes, values, returns)
    for task, share in shares.items():
        name = training_data.text.tasks[task]
        logger.info('of the value %.0f %% came true in rollouts: %s', 100 * share, name)
    return [
        (came - shares.get(episode.task, 1.0) * value).astype(np.float32)
        for episode, value, came in zip(table.episodes, values, returns, strict=True)
    ]


def shares_that_came_true(
    episodes: Sequence[CachedEpisode],
    values: Sequence[NDArray[np.floating]],
    returns: Sequence[NDArray[np.floating]],
) -> dict[int, float]:
    """Return the factors by which values come closest to the returns of a policy's rollouts.

    Args:
        episodes: Those in which a policy acted, and no person took over, count; a script that
            fails tells nothing of the policy.
        values: (S,) predicted returns of each, at every tick.
        returns: (S,) those that came.

    Returns:
        Task -> factor in [0, 1], of the tasks that have such rollouts.
    """
    counted = [one.policy and not one.intervention.any() for one in episodes]
    shares = {}
    for task in sorted(
        {one.task for one, counts in zip(episodes, counted, strict=True) if counts}
    ):
        of_task = [n for n, one in enumerate(episodes) if one.task == task and counted[n]]
        value = np.concatenate([values[n] for n in of_task])
        came = np.concatenate([returns[n] for n in of_task])
        share = float(value @ came) / max(float(value @ value), 1e-9)
        shares[task] = min(max(share, 0.0), 1.0)
    return shares


def describe_labels(episodes: Sequence[CachedEpisode], labels: Sequence[NDArray[np.bool_]]) -> str:
    """Return the shares of chunks that went better, for people."""
    groups: dict[str, list[NDArray[np.bool_]]] = {}
    for episode, better in zip(episodes, labels, strict=True):
        kind = 'demonstrations' if episode.demo else 'successes' if episode.success else 'failures'
        groups.setdefault(kind, []).append(better)
    shares = {kind: np.concatenate(rows) for kind, rows in groups.items()}
    return ', '.join(f'{100 * b.mean():.0f} % of {len(b)} in {k}' for k, b in shares.items())

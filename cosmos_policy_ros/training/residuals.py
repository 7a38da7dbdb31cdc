# SPDX-License-Identifier: Apache-2.0
"""The residuals of a policy on recorded demonstrations, for a checkpoint that has none.

A training measures them on the episodes it holds out, see ``trainer.train``. This is for weights
that came from elsewhere: the policy is asked as a robot would ask it, through any backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import logging
from pathlib import Path
from typing import NamedTuple

from cosmos_policy_ros.core.correction import Residuals
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.data.episodes import read_episode
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.training.dataset import CachedEpisode, Mixture, POLICY, SampleTable
from cosmos_policy_ros.training.episode_cache import name_episodes
from cosmos_policy_ros.types import ConfigError, Episode, Observation
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# Fewer demonstrations say little about others: the chunks of one are wrong in the same way.
ENOUGH = 10


class Measured(NamedTuple):
    """Residuals and what they were measured on.

    Attributes:
        residuals: Mean products of the errors.
        samples: Chunks that were compared.
        episodes: Demonstrations that they are from.
    """

    residuals: Residuals
    samples: int
    episodes: int


def measure_residuals(
    policy: CosmosPolicy,
    data: Sequence[Path],
    robot: RobotSpec,
    samples: int,
    on_episode: Callable[[int], None] = lambda _: None,
    reading: Reading | None = None,
) -> Measured:
    """Predict chunks of recorded demonstrations and compare them with what was demonstrated.

    Chunks in which a disturbance begins are left out, and so are episodes that are no successful
    demonstration or disturbed throughout. Episodes are read one after the other, since their
    images fill memory.

    Args:
        policy: Policy, which best has not been trained on these episodes.
        data: Folders of episodes.
        robot: Robot of the episodes.
        samples: Chunks to predict, spread evenly over the episodes.
        on_episode: Called with the number of episodes after each.
        reading: What the recordings leave open.

    Raises:
        ConfigError: An episode cannot be read, its rate does not fit the policy's, its task has no
            embedding, or none is a successful demonstration.
    """
    episodes = name_episodes(data)
    each, rng, config = -(-samples // len(episodes)), np.random.default_rng(0), policy.config
    predicted: list[NDArray[np.float32]] = []
    demonstrated: list[NDArray[np.float32]] = []
    used = 0
    for name, stored in episodes.items():
        episode = read_episode(stored, robot, reading=reading)
        on_episode(len(episodes))
        if episode.source != 'demo' or not episode.success or not episode.expert.any():
            logger.info('left out: %s has nothing to imitate', name)
            continue
        used += 1
        stride = round(episode.rate_hz / config.rate_hz)
        if abs(stride * config.rate_hz - episode.rate_hz) > 1e-6 or stride < 1:
            msg = (
                f'episode {name} has {episode.rate_hz:g} rows per second, which is no whole '
                f'multiple of the {config.rate_hz:g} of the policy'
            )
            raise ConfigError(msg)
        table = _table(episode, config.horizon, stride)
        picks = table.imitated()
        picks = picks[rng.integers(len(picks), size=each)]
        batch = table.take(picks, np.full(each, POLICY))
        whole = batch.imitate.all(axis=1)
        for (_, tick), chunk in zip(picks[whole], batch.chunk[whole], strict=True):
            query = PlanQuery(candidates=1, seed=len(predicted))
            answer = policy.plan(_observation(episode, int(tick)), query)
            predicted.append(answer.candidates.positions[0])
            demonstrated.append(chunk)
    shape = (-1, config.horizon, config.action_size)
    residuals = Residuals.from_chunks(
        policy.stats.normalize_actions(np.reshape(predicted, shape).astype(np.float32)),
        policy.stats.normalize_actions(np.reshape(demonstrated, shape).astype(np.float32)),
        config.arm_joints,
    )
    warn_if_few(used)
    return Measured(residuals, len(predicted), used)


def warn_if_few(demonstrations: int) -> None:
    """Say so where residuals are of too few demonstrations to tell of others.

    Args:
        demonstrations: Number of those that chunks were compared of.
    """
    if demonstrations < ENOUGH:
        logger.warning(
            'residuals are of few demonstrations (%d), whose errors need not be those of others; '
            'cosmos-policy residuals measures them again on %d or more that were not trained on',
            demonstrations,
            ENOUGH,
        )


def _table(episode: Episode, horizon: int, stride: int) -> SampleTable:
    """Return the ticks of one demonstration as samples, cut into chunks as in a training."""
    images = np.stack([*episode.image_index.values()], axis=1)
    cached = CachedEpisode(
        demo=True,
        success=True,
        image_row=images,
        proprio=episode.proprio,
        actions=episode.actions,
        expert=episode.expert,
        intervention=episode.human_intervention,
    )
    return SampleTable([cached], horizon, stride, discount=1.0, mixture=Mixture())


def _observation(episode: Episode, tick: int) -> Observation:
    """Return what the robot sensed at a tick."""
    images = {name: rows[episode.image_index[name][tick]] for name, rows in episode.images.items()}
    stamp_ns = int(episode.stamps_ns[tick])
    return Observation(stamp_ns, images, episode.proprio[tick], episode.task)

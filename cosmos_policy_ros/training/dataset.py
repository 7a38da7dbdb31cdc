# SPDX-License-Identifier: Apache-2.0
"""From episodes to training samples: what is drawn how often, and with which targets.

Source: NVlabs/cosmos-policy ``dataset_common.calculate_epoch_structure``,
``determine_sample_type``, ``compute_monte_carlo_returns`` and ``get_action_chunk_with_padding``.
Differs: samples are drawn at random instead of by an epoch index of the same proportions; a
demonstration sample never starts in a disturbance, and the rows after the next disturbance are
left out of its loss. What a person did who took over from a policy is imitated too, from the
moment they led until they gave back, where the episode came to a success.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

POLICY, WORLD_MODEL, VALUE = 0, 1, 2  # values of ``Batch.kind``


@dataclass(frozen=True, eq=False)
class CachedEpisode:
    """One episode of S ticks without its pixels, whose images are rows of the caches.

    Attributes:
        demo: Whether it is a demonstration that succeeded, which may be imitated.
        success: Whether the task was done.
        image_row: (S, C) int64 row of every camera's newest image among all images.
        proprio: (S, P) float32 [rad; gripper 0..1].
        actions: (S, A) float32 [rad; gripper 0..1].
        expert: (S,) bool, False where the action was a disturbance.
        intervention: (S,) bool, True where a person acted in place of the policy.
        task: Row of its instruction in ``LatentCache.text``.
        latent_row: (S, 2C) int64 rows of the latents of the current images and of those when the
            chunk ends; None where every image has one latent, in the same row.
        policy: Whether a policy acted, as the recording says.
    """

    demo: bool
    success: bool
    image_row: NDArray[np.int64]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    expert: NDArray[np.bool_]
    intervention: NDArray[np.bool_]
    task: int = 0
    latent_row: NDArray[np.int64] | None = None
    policy: bool = False


@dataclass(frozen=True, eq=False)
class Batch:
    """B training samples in robot units.

    Attributes:
        kind: (B,) int64, POLICY, WORLD_MODEL or VALUE.
        chunk: (B, H, A) float32 actions [rad; gripper 0..1].
        imitate: (B, H) bool, rows of ``chunk`` that may be imitated: those of an expert.
        proprio: (B, P) float32 at the observation [rad; gripper 0..1].
        future_proprio: (B, P) float32 when the chunk ends.
        image_row: (B, C) int64 rows of the current images.
        future_row: (B, C) int64 rows of the images when the chunk ends.
        latent_row: (B, 2C) int64 rows of the latents of both.
        value: (B,) float32 discounted return when the chunk ends, in [0, 1].
        task: (B,) int64 rows of the instructions in ``LatentCache.text``.
        version: (B,) int64 which version of the images, 0 for the unchanged one.
        committed: (B,) int64 how many rows of ``chunk`` are committed, see ``core.committed``;
            they are shown to the network and carry no loss.
        label: (B,) int64 1 for a chunk that went better than expected, -1 for one that did not, 0
            for no label, see ``core.advantage``.
    """

    kind: NDArray[np.int64]
    chunk: NDArray[np.float32]
    imitate: NDArray[np.bool_]
    proprio: NDArray[np.float32]
    future_proprio: NDArray[np.float32]
    image_row: NDArray[np.int64]
    future_row: NDArray[np.int64]
    latent_row: NDArray[np.int64]
    value: NDArray[np.float32]
    task: NDArray[np.int64]
    version: NDArray[np.int64]
    committed: NDArray[np.int64]
    label: NDArray[np.int64]

    def part(self, index: int, n_parts: int) -> Batch:
        """Return the batch of every ``n_parts``-th sample from ``index`` on."""
        return self.rows(slice(index, None, n_parts))

    def rows(self, which: slice | NDArray[np.bool_]) -> Batch:
        """Return the batch of some samples, by a slice or a (B,) mask."""
        return Batch(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True)
class Mixture:
    """How often each kind of sample is drawn.

    Attributes:
        demo: Share of policy samples, drawn from the episodes that are imitated.
        success: Share of successes among the other samples.
        world_model: Share of world-model samples among the other samples; the rest are for the
            value.
        reuse_demos: Whether demonstrations count among the successes of the other samples too.
        imitate_rollouts: Whether rollouts that succeeded are imitated like demonstrations.
        imitate_failures: Whether every episode is imitated whatever came of it, as where nobody
            judges what people demonstrate.
        intervention: Share of the policy samples that are drawn from what people did who took
            over from a policy, where there is such; 0 draws all that is imitated alike.
    """

    demo: float = 0.5
    success: float = 0.5
    world_model: float = 0.5
    reuse_demos: bool = True
    imitate_rollouts: bool = False
    imitate_failures: bool = False
    intervention: float = 0.0


class SampleTable:
    """Every tick of every episode as a training sample, drawn at random by a mixture.

    Attributes:
        episodes: The episodes.
        horizon: Rows H of a chunk.
        stride: Ticks between two rows of a chunk.
        mixture: How often each kind of sample is drawn.
        n_versions: Versions of every image in the latent cache.
    """

    def __init__(
        self,
        episodes: Sequence[CachedEpisode],
        horizon: int,
        stride: int,
        discount: float,
        mixture: Mixture,
        n_versions: int = 1,
        labels: Sequence[NDArray[np.bool_]] | None = None,
        label_drop: float = 0.0,
    ) -> None:
        """Index the ticks.

        Args:
            episodes: Episodes.
            horizon: Rows H of a chunk.
            stride: Ticks between two rows of a chunk.
            discount: Factor per row of the chunk by which a later success is worth less.
            mixture: How often each kind is drawn.
            n_versions: Versions of every image in the latent cache.
            labels: Of every episode, (S,) bool whether a chunk that begins at a tick went better
                than expected; then all rollouts are imitated, each chunk under its label. None
                labels nothing.
            label_drop: Share of the policy samples that lose their label.

        Raises:
            ConfigError: There is no demonstration to imitate.
        """
        self._labels, self._label_drop, self._discount = labels, label_drop, discount
        self.episodes, self.horizon, self.stride = list(episodes), horizon, stride
        self.mixture, self.n_versions = mixture, n_versions
        self._returns = [
            monte_carlo_returns(len(t.actions), t.success, discount ** (1.0 / stride))
            for t in self.episodes
        ]
        self._imitable = [
            _find_imitable(episode, mixture) if labels is None else episode.expert
            for episode in self.episodes
        ]
        imitated: list[NDArray[np.int64]] = []
        mended: list[NDArray[np.int64]] = []  # of those, what people did who took over
        successes: list[NDArray[np.int64]] = []
        failures: list[NDArray[np.int64]] = []
        for index, episode in enumerate(self.episodes):
            ticks = np.arange(len(episode.actions))
            pairs = np.stack([np.full_like(ticks, index), ticks], axis=1)
            imitable = self._imitable[index]
            if imitable.any():
                imitated.append(pairs[imitable])
                mended.append(pairs[imitable & episode.intervention])
            if not episode.demo or mixture.reuse_demos:
                (successes if episode.success else failures).append(pairs)
        if not imitated:
            msg = 'no episode is a demonstration; record some that succeed and try again'
            raise ConfigError(msg)
        self._imitated, self._mended = np.concatenate(imitated), np.concatenate(mended)
        if not successes and not failures:
            msg = 'no episode is a rollout, and reuse_demos is false; add rollouts to the data'
            raise ConfigError(msg)
        # Without failures all rollouts are successes, as in the reference.
        self._successes = np.concatenate(successes or failures)
        self._failures = np.concatenate(failures or successes)

    def draw(self, n: int, rng: np.random.Generator) -> Batch:
        """Return ``n`` samples drawn by the mixture."""
        is_demo = rng.random(n) < self.mixture.demo
        is_success = rng.random(n) < self.mixture.success
        asks_world = rng.random(n) < self.mixture.world_model
        kind = np.where(is_demo, POLICY, np.where(asks_world, WORLD_MODEL, VALUE))
        groups = (self._failures, self._successes, self._imitated, self._mended)
        group = np.where(is_demo, 2, is_success.astype(int))
        if self.mixture.intervention and len(self._mended):
            group[is_demo & (rng.random(n) < self.mixture.intervention)] = 3
        picks = [groups[g][rng.integers(len(groups[g]))] for g in group]
        version = rng.integers(self.n_versions, size=n)
        batch = self.take(np.array(picks), kind, version)
        if self._labels is None:
            return batch
        better = np.array([self._labels[e][t] for e, t in picks])
        kept = (kind == POLICY) & (rng.random(n) >= self._label_drop)
        return replace(batch, label=np.where(kept, np.where(better, 1, -1), 0))

    def labelled(self, labels: Sequence[NDArray[np.bool_]], label_drop: float) -> SampleTable:
        """Return the same samples with labels, see ``__init__``."""
        return SampleTable(
            self.episodes,
            self.horizon,
            self.stride,
            self._discount,
            self.mixture,
            self.n_versions,
            labels,
            label_drop,
        )

    def returns_ahead(self, episode: int) -> NDArray[np.float32]:
        """Return the (S,) float32 return at the end of the chunk that begins at every tick."""
        returns = self._returns[episode]
        ticks = np.arange(len(returns))
        ends = chunk_end(ticks, len(returns), self.horizon, self.stride)
        return np.asarray(returns[ends], dtype=np.float32)

    def imitated(self) -> NDArray[np.int64]:
        """Return the (n, 2) episode and tick of every sample to imitate."""
        return self._imitated

    def outcomes(self) -> NDArray[np.int64]:
        """Return the (n, 2) episode and tick of every success, then of every failure."""
        return np.concatenate([self._successes, self._failures])

    def take(
        self,
        picks: NDArray[np.int64],
        kind: NDArray[np.int64],
        version: NDArray[np.int64] | None = None,
    ) -> Batch:
        """Return the samples at given places.

        Args:
            picks: (B, 2) int64 episode and tick.
            kind: (B,) int64 kinds.
            version: (B,) int64 versions of the images; None for the unchanged ones.
        """
        rows = [self._sample(int(e), int(t)) for e, t in picks]
        task = np.array([self.episodes[int(e)].task for e, _ in picks], dtype=np.int64)
        if version is None:
            version = np.zeros(len(picks), dtype=np.int64)
        columns = [np.stack(c) for c in zip(*rows, strict=True)]
        none = np.zeros_like(task)
        columns = [kind.astype(np.int64), *columns, task, version, none, none]
        return Batch(*columns)

    def _sample(self, episode: int, tick: int) -> tuple[NDArray[np.generic], ...]:
        """Return the fields of a batch from ``chunk`` to ``value`` for one sample."""
        one = self.episodes[episode]
        last = len(one.actions) - 1
        at = np.minimum(tick + self.stride * np.arange(self.horizon), last)
        then = int(chunk_end(np.array(tick), len(one.actions), self.horizon, self.stride))
        # A row is imitated if no disturbance began since the observation, and nobody gave back.
        ended = np.logical_or.accumulate(~self._imitable[episode][tick : then + 1])
        imitate = ~ended[at - tick]
        now_row, then_row = one.image_row[tick], one.image_row[then]
        own = one.latent_row
        return (
            one.actions[at],
            imitate,
            one.proprio[tick],
            one.proprio[then],
            now_row,
            then_row,
            np.concatenate([now_row, then_row]) if own is None else own[tick],
            self._returns[episode][then],
        )


def _find_imitable(episode: CachedEpisode, mixture: Mixture) -> NDArray[np.bool_]:
    """Return the (S,) bool ticks of an episode whose action may be imitated."""
    rollout = mixture.imitate_rollouts and episode.success
    if episode.demo or rollout or mixture.imitate_failures:
        return episode.expert
    return episode.expert & episode.intervention & episode.success


def chunk_end(
    tick: NDArray[np.int64], n_ticks: int, horizon: int, stride: int
) -> NDArray[np.int64]:
    """Return the ticks at which chunks end, at most the episode's last.

    Args:
        tick: Ticks at which they begin, int64 of any shape.
        n_ticks: Ticks of the episode.
        horizon: Rows H of a chunk.
        stride: Ticks between two rows of a chunk.
    """
    return np.minimum(tick + stride * horizon, n_ticks - 1)


def monte_carlo_returns(n: int, success: bool, discount: float) -> NDArray[np.float32]:
    """Return the (n,) float32 discounted returns of an episode, rewarded at its last tick.

    Args:
        n: Ticks of the episode.
        success: Whether the reward is 1; else it is 0.
        discount: Factor per tick.
    """
    if not success:
        return np.zeros(n, dtype=np.float32)
    return np.power(discount, np.arange(n)[::-1]).astype(np.float32)

# SPDX-License-Identifier: Apache-2.0
"""The figures of oracle best-of-N: what the best choice gains, and what a value takes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cosmos_policy_ros.metrics import auc, mean_interval, rounded_percentiles
import numpy as np
from numpy.typing import NDArray

LATER = 3  # queries after the branching one whose values are ranked


class Choice(NamedTuple):
    """Score of each candidate, and which one is chosen."""

    scores: tuple[float, ...]
    best: int


@dataclass(frozen=True)
class OracleScene:
    """What each candidate of one query of a scene came to.

    Attributes:
        seed: Seed of the scene.
        at_s: Time of the query [s].
        success: Of each candidate, whether the task was done at the end.
        spread_rad: Standard deviation between them, mean over rows and arm joints [rad].
        shift_rad: The same between their means over all rows, without noise from row to row.
        apart_mm: Largest distance of a candidate from the first at the tools [mm].
        values: ``own`` or planning checkpoint -> what its value makes of them.
        later: Of each candidate, the policy's own values in the queries that followed, when what
            came of it was in the images.
        next_values: Of each candidate, the policy's own value in the query nearest to the end of
            its chunk, None where the episode was over: what a query of depth 2 would read if the
            state that it imagines were the true one.
    """

    seed: int
    at_s: float
    success: tuple[bool, ...]
    spread_rad: float
    shift_rad: float
    apart_mm: float
    values: dict[str, Choice]
    later: tuple[tuple[float, ...], ...]
    next_values: tuple[float | None, ...] = ()


def summarize_oracle(scenes: Sequence[OracleScene]) -> dict[str, Any]:
    """Return the figures of scenes whose candidates were all played.

    Of every value: ``success``, the rate of the candidates that it chooses; ``auc_within``, how
    often it ranks a success above a failure of the same scene, mean of the scenes that have both,
    with its interval ``auc_within_95`` over them; ``auc_across``, the same over all candidates of
    all scenes. ``auc_later`` is ``auc_within`` of the policy's own value 1, 2 and 3 queries later:
    what can be known at all, without having to predict it. ``auc_true_depth_2`` is the same when
    the chunk has been played to its end, over the scenes in which the episode lasted that long,
    ``scenes_depth_2``.
    """
    success = np.array([scene.success for scene in scenes])
    mixed = success.any(1) & ~success.all(1)
    figures: dict[str, Any] = {
        'scenes': len(scenes),
        'first_candidate': _rate(success[:, 0]),
        'mean_candidate': _rate(success),
        'best_in_hindsight': _rate(success.any(1)),
        'worst_in_hindsight': _rate(success.all(1)),
        'scenes_with_both': int(mixed.sum()),
        'choice_matters': _rate(mixed),
        'apart_mm': rounded_percentiles([scene.apart_mm for scene in scenes]),
        'spread_rad': round(float(np.mean([scene.spread_rad for scene in scenes])), 4),
        'shift_rad': round(float(np.mean([scene.shift_rad for scene in scenes])), 4),
    }
    for name in scenes[0].values:
        scores = np.array([scene.values[name].scores for scene in scenes])
        chosen = [scene.success[scene.values[name].best] for scene in scenes]
        figures[name] = {
            'success': _rate(chosen),
            'auc_within': auc_within(scores, success),
            'auc_within_95': mean_interval(_scene_aucs(scores, success), 0.0, 1.0),
            'auc_across': auc(scores.ravel(), success.ravel()),
        }
    queries = min(LATER, *(len(values) for scene in scenes for values in scene.later))
    later = np.array([[values[:queries] for values in scene.later] for scene in scenes])
    figures['auc_later'] = [auc_within(later[..., i], success) for i in range(queries)]
    known = [i for i, s in enumerate(scenes) if s.next_values and None not in s.next_values]
    if known:
        truth = np.array([scenes[i].next_values for i in known], dtype=np.float64)
        figures['scenes_depth_2'] = len(known)
        figures['auc_true_depth_2'] = auc_within(truth, success[known])
    return figures


def auc_within(scores: NDArray[Any], success: NDArray[np.bool_]) -> float | None:
    """Return how often scores rank a success above a failure of the same scene.

    Args:
        scores: (S, N) of the candidates of every scene.
        success: (S, N) how they ended; a scene in which all ended alike does not count.
    """
    ranks = _scene_aucs(scores, success)
    return round(float(np.mean(ranks)), 3) if ranks else None


def _scene_aucs(scores: NDArray[Any], success: NDArray[np.bool_]) -> list[float]:
    """Return the AUC of every scene with both outcomes, see ``auc_within``."""
    ranks = [auc(v, s) for v, s in zip(scores, success, strict=True)]
    return [rank for rank in ranks if rank is not None]


def _rate(success: Any) -> float:
    return round(float(np.mean(success)), 4)

# SPDX-License-Identifier: Apache-2.0
"""Best of N: from the predicted values of candidates to the one that is played.

Source: Cosmos Policy (arXiv:2601.16163), Sec. 4.3; NVlabs/cosmos-policy
``cosmos_utils.aggregate_value_predictions`` and ``aloha/deploy.PolicyServer.get_server_action``.
Differs: ``lcb`` of a single value is that value; the reference gets NaN.
"""

from __future__ import annotations

from typing import get_args, Literal

from cosmos_policy_ros.types import ActionChunk, Candidates, Plan
import numpy as np
from numpy.typing import NDArray

Aggregation = Literal['average', 'lcb', 'success_vote', 'majority_mean']
Selection = Literal['reference', 'argmax']

LCB_WIDTH = 1.0  # standard deviations below the mean
SUCCESS_VALUE = 0.05  # a value above it predicts success


def aggregate(values: NDArray[np.float32], rule: Aggregation) -> NDArray[np.float32]:
    """Return (N,) float32 scores in [0, 1], one per candidate.

    Args:
        values: (N, max(M, 1) * max(K, 1)) float32 ensemble members in [0, 1].
        rule: ``average``; ``lcb``, mean minus standard deviation; ``success_vote``, the fraction
            that predicts success; ``majority_mean``, the mean of those that predict success if
            they are at least half, else 0.

    Raises:
        ValueError: ``rule`` is unknown, or ``values`` is no table of finite numbers.
    """
    if values.ndim != 2 or 0 in values.shape or not np.isfinite(values).all():
        msg = f'values must be finite and of shape (candidates, members), got {values.shape}'
        raise ValueError(msg)
    table = values.astype(np.float64)
    success = table > SUCCESS_VALUE
    if rule == 'average':
        scores = table.mean(axis=1)
    elif rule == 'lcb':
        spread = table.std(axis=1, ddof=1) if table.shape[1] > 1 else 0.0
        scores = table.mean(axis=1) - LCB_WIDTH * spread
    elif rule == 'success_vote':
        scores = success.mean(axis=1)
    elif rule == 'majority_mean':
        mean = np.where(success, table, 0.0).sum(axis=1) / success.sum(axis=1).clip(min=1)
        scores = np.where(success.mean(axis=1) >= 0.5, mean, 0.0)
    else:
        msg = f'no aggregation {rule!r}; choose one of {get_args(Aggregation)}'
        raise ValueError(msg)
    return scores.clip(0.0, 1.0).astype(np.float32)


def select(scores: NDArray[np.float32], rule: Selection = 'reference', base: int = 0) -> int:
    """Return the index of the chosen candidate.

    Args:
        scores: (N,) float32 aggregated values.
        rule: ``reference`` keeps the base candidate unless another is strictly better, so ties
            and all-zero scores leave the plain policy alone; ``argmax`` takes the first best.
        base: The candidate that the plain policy would play, drawn with the base seed.

    Raises:
        ValueError: ``rule`` is unknown or there is no candidate ``base``.
    """
    if not 0 <= base < len(scores):
        msg = f'no candidate {base} among {len(scores)} scores'
        raise ValueError(msg)
    if rule not in get_args(Selection):
        msg = f'no selection {rule!r}; choose one of {get_args(Selection)}'
        raise ValueError(msg)
    best = int(np.argmax(scores))
    keep_base = rule == 'reference' and not scores[best] > scores[base]
    return base if keep_base else best


def make_plan(
    candidates: Candidates,
    rate_hz: float,
    aggregation: Aggregation = 'majority_mean',
    selection: Selection = 'reference',
    allowed: NDArray[np.bool_] | None = None,
) -> Plan:
    """Return the plan that plays the best candidate of those that may be played.

    Args:
        candidates: The answer to one query; the first is the base candidate, or what a pruned
            search has left in its place.
        rate_hz: Spacing of the action rows [Hz].
        aggregation: Rule of ``aggregate``.
        selection: Rule of ``select``.
        allowed: (N,) bool, which of them may be played; if none may or it is None, all.
    """
    scores = aggregate(candidates.values, aggregation)
    compared = scores
    if allowed is not None and allowed.any():
        compared = np.where(allowed, scores, np.float32(-1.0))
    best = select(compared, selection)
    chunk = ActionChunk(candidates.stamp_ns, candidates.positions[best], rate_hz)
    return Plan(chunk, scores, best)

# SPDX-License-Identifier: Apache-2.0
"""Best of N: from the predicted values of candidates to the one that is played.

Source: Cosmos Policy (arXiv:2601.16163), Sec. 4.3; NVlabs/cosmos-policy
``cosmos_utils.aggregate_value_predictions`` and ``aloha/deploy.PolicyServer.get_server_action``.
Differs: ``lcb`` of a single value is that value; the reference gets NaN. ``decisive`` keeps the
plain policy where the candidates do not differ by more than the ensemble is unsure of.
"""

from __future__ import annotations

import math
from typing import get_args, Literal

from cosmos_policy_ros.types import ActionChunk, Candidates, Plan
import numpy as np
from numpy.typing import NDArray

Aggregation = Literal['average', 'lcb', 'success_vote', 'majority_mean']
Selection = Literal['decisive', 'reference', 'argmax']

# Candidates whose tools stay within this of candidate 0 are the same plan [m]. 8 candidates of a
# policy that knows one plan were 6 mm from the first at the farthest place, and 8 at most.
APART_M = 0.01
# By how much a single value has to be higher, since nobody tells how sure it is. Those that are
# denoised together with 8 candidates of one plan have a standard deviation of 0.03.
SINGLE_MARGIN = 0.05
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
    """Return the index of the best candidate.

    Args:
        scores: (N,) float32 aggregated values.
        rule: ``reference`` and ``decisive`` keep the base candidate unless another is strictly
            better, so ties and all-zero scores leave the plain policy alone; ``argmax`` takes the
            first best.
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
    keep_base = rule != 'argmax' and not scores[best] > scores[base]
    return base if keep_base else best


def score_deviation(values: NDArray[np.float32], best: int, base: int = 0) -> float:
    """Return how much the ensemble is unsure by how much one candidate is better than another.

    That is the standard deviation, over the members, of the difference of the two: members differ
    in their denoising steps and noise, and what all of them are wrong by alike is no doubt. It is
    ``SINGLE_MARGIN`` where there is one member only.

    Args:
        values: (N, members) float32 ensemble members in [0, 1].
        best: One candidate.
        base: The other.
    """
    margins = values[best].astype(np.float64) - values[base]
    return float(margins.std(ddof=1)) if len(margins) > 1 else SINGLE_MARGIN


def make_plan(
    candidates: Candidates,
    rate_hz: float,
    aggregation: Aggregation = 'majority_mean',
    selection: Selection = 'reference',
    allowed: NDArray[np.bool_] | None = None,
    apart_m: NDArray[np.float64] | None = None,
) -> Plan:
    """Return the plan that plays the best candidate of those that may be played.

    Where the candidates have no values, that is the first of them, and the scores are NaN.

    ``decisive`` plays another candidate than the base only where there is a choice: it is another
    plan, more than ``APART_M`` from the base at the tools, and its score is higher by more than
    the ensemble is unsure of, see ``score_deviation``. A base candidate that may not be played is
    left whatever the others are worth.

    Args:
        candidates: The answer to one query; the first is the base candidate, or what a pruned
            search has left in its place.
        rate_hz: Spacing of the action rows [Hz].
        aggregation: Rule of ``aggregate``.
        selection: Rule of ``select``.
        allowed: (N,) bool, which of them may be played; if none may or it is None, all.
        apart_m: (N,) float64 distance of every candidate from the first at the tools [m]; None
            where nobody knows it, then all differ.
    """
    n, n_values = candidates.values.shape
    has_value = n_values > 0
    scores = aggregate(candidates.values, aggregation) if has_value else np.zeros(n, np.float32)
    compared = scores
    if allowed is not None and allowed.any():
        compared = np.where(allowed, scores, np.float32(-1.0))
    best, base = select(compared, selection), 0
    margin, deviation = float(scores[best] - scores[base]), math.nan
    is_choice = best != base
    if is_choice and has_value:
        deviation = score_deviation(candidates.values, best, base)
        differs = apart_m is None or float(apart_m[best]) > APART_M
        forced = compared[base] < 0.0
        if selection == 'decisive' and not forced and not (differs and margin > deviation):
            is_choice, best = False, base
    chunk = ActionChunk(candidates.stamp_ns, candidates.positions[best], rate_hz)
    widest_m = math.nan if apart_m is None else float(apart_m.max())
    if not has_value:
        scores, margin = np.full_like(scores, np.nan), math.nan
    return Plan(chunk, scores, best, is_choice, margin, deviation, widest_m)

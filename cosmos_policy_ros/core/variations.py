# SPDX-License-Identifier: Apache-2.0
"""Candidates that are different plans, drawn from what the sampler leaves out.

Denoising ends at a noise level far above the size of the differences between good chunks: there
the network returns the mean of all that fit the observation, and candidates differ by noise from
row to row. What is missing is the last part of the sampling, below that level. How a demonstrator
differs from the prediction is known: the errors on held-out demonstrations, whose mean product is
kept with the checkpoint (``correction.Residuals``). Under a normal distribution the chunk that was
left out is the prediction plus a draw from them, for a temperature of 1; committed rows are held
whole by the gain that corrects chunks to begin with them, so the draw is one of those
that go on from there. Only the leading directions of the errors are drawn: the others are jitter.

Many more are drawn than are wanted, and those are kept that stand in the middle of groups of their
own (k-medoids), candidate 0 as it is among them: N candidates are N plans.

Source: noise of the residuals' covariance is what the winners of BEHAVIOR-1K 2025 and LeHome 2026
sample with. Differs: it is added behind the last network call. Denoising a varied chunk again from
a noise level that the network was trained at undoes the variation: measured from levels 10 and 4,
none of it was left (a share of 0.00 ± 0.05), since at those levels the chunk tells it nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_policy_ros.core.correction import Correction, Residuals
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

DRAWS = 8  # variations of every candidate that plans are chosen from
LEADING_SHARE = 0.6  # of the variance, in the directions that are drawn; the rest is jitter
WINDOW_ROWS = 4  # over which chunks are averaged before they are compared
ROUNDS = 8  # of moving the middles of the groups, at most


class Variations:
    """Draws chunks around predicted ones.

    Args:
        residuals: How far predicted chunks are off, and how those errors go together.
        arm_joints: (A,) bool, the joints that vary; grippers do not.
    """

    def __init__(self, residuals: Residuals, arm_joints: NDArray[np.bool_]) -> None:
        """Find the leading directions of the residuals."""
        rows, joints = residuals.second_moment.shape[:2]
        moment = residuals.second_moment.reshape(rows * joints, -1)
        variance, directions = torch.linalg.eigh(moment)  # rising
        variance, directions = variance.flip(0).clamp(min=0.0), directions.flip(1)
        share = variance.cumsum(0) / variance.sum().clamp(min=torch.finfo(torch.float64).tiny)
        n = int((share < LEADING_SHARE).sum()) + 1
        self._directions = (directions[:, :n] * variance[:n].sqrt()).reshape(rows, joints, n)
        self._hold = Correction(residuals, arm_joints, believed=1.0)  # a draw is no prediction
        self._arms = torch.from_numpy(np.flatnonzero(arm_joints))

    def draw(
        self, chunk: Tensor, committed: Tensor, temperature: float, rng: np.random.Generator
    ) -> Tensor:
        """Return (DRAWS, H, A) variations of a chunk that begin with the committed rows.

        Args:
            chunk: (H, A) float predicted chunk, normalised.
            committed: (D, A) float committed rows, normalised, with which it begins; D may be 0.
            temperature: How far they are spread; 1 as demonstrations are around predictions.
            rng: Source of randomness.
        """
        numbers = rng.standard_normal((DRAWS, self._directions.shape[2]))
        moved = torch.from_numpy(numbers) @ self._directions.flatten(0, 1).T * temperature
        varied = chunk.repeat(DRAWS, 1, 1)
        shape = (DRAWS, *self._directions.shape[:2])
        varied[:, :, self._arms.to(chunk.device)] += moved.reshape(shape).to(chunk)
        return self._hold(varied, committed) if len(committed) else varied


def choose_plans(
    chunks: NDArray[np.float32], n: int, arm_joints: NDArray[np.bool_], base: int = 0
) -> list[int]:
    """Return the n chunks that stand in the middle of n groups, the base chunk first.

    Args:
        chunks: (P, H, A) float32 chunks [rad; gripper 0..1], at least n.
        n: How many.
        arm_joints: (A,) bool, the joints by which they are compared.
        base: The one that is chosen in any case, and stays as it is.
    """
    arms = chunks[:, :, arm_joints]
    width = min(WINDOW_ROWS, arms.shape[1])
    windows = np.lib.stride_tricks.sliding_window_view(arms, width, axis=1).mean(-1)
    points = windows.reshape(len(chunks), -1).astype(np.float64)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)  # (P, P)
    chosen = [base]
    while len(chosen) < n:  # the farthest from all of them begins the next group
        chosen.append(_first_best(apart[:, chosen].min(axis=1), chosen))
    for _ in range(ROUNDS):
        group = np.array(chosen)[apart[:, chosen].argmin(axis=1)]
        group[chosen] = chosen  # equal chunks stay in groups of their own
        middles = [_middle(apart, np.flatnonzero(group == i)) for i in chosen[1:]]
        if middles == chosen[1:]:
            break
        chosen = [base, *middles]
    return chosen


def _first_best(distance: NDArray[np.float64], taken: Sequence[int]) -> int:
    """Return the first of the largest distances that is not taken."""
    free = distance.copy()
    free[list(taken)] = -1.0
    return int(free.argmax())


def _middle(apart: NDArray[np.float64], members: NDArray[np.int64]) -> int:
    """Return the member of a group that the others are nearest to."""
    return int(members[apart[np.ix_(members, members)].sum(axis=1).argmin()])

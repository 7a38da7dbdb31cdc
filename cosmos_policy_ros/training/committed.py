# SPDX-License-Identifier: Apache-2.0
"""Training samples whose first rows are committed, see ``core.committed``.

A demonstration's own rows would teach the network to copy: they go where the expert, who knew the
scene, went on to. What is played on a robot comes from an older plan that may be wrong. So half of
the prefixes drift away from the demonstration, smoothly from row 0 on, and the targets behind them
drift back: the network has to continue any prefix without a jump, and has to look where to.
"""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.training.dataset import Batch, POLICY
import numpy as np
from numpy.typing import NDArray

SHARE = 0.5  # of the samples have committed rows at all
DRIFTING = 0.5  # of their prefixes drift
DRIFT_RAD = 0.06  # largest standard deviation of the drift of an arm joint at the last row [rad]
RETURN_ROWS = 6  # rows within which a drift is gone again


def commit_rows(
    batch: Batch, max_rows: int, arm_joints: NDArray[np.bool_], rng: np.random.Generator
) -> Batch:
    """Return the batch with 1 to ``max_rows`` rows committed in half of its samples.

    How many does not depend on where in its episode a sample stands: near the end as in the
    middle, the rows behind the last tick repeat it. Only policy samples drift, since in the others
    the future is that of the actions as they were.

    Args:
        batch: Samples without committed rows.
        max_rows: Most committed rows, below the horizon.
        arm_joints: (A,) bool, the joints that drift; grippers do not.
        rng: Source of randomness.
    """
    n, horizon, size = batch.chunk.shape
    some = rng.random(n) < SHARE
    n_rows = np.where(some, rng.integers(1, max_rows + 1, n), 0)
    drifts = some & (rng.random(n) < DRIFTING) & (batch.kind == POLICY)
    room = np.minimum((n_rows - 1) / 3.0, 1.0)  # a single row has nowhere to drift to
    scale = DRIFT_RAD * rng.random(n) * np.where(drifts, room, 0.0)
    offset = rng.standard_normal((n, size)) * scale[:, None] * arm_joints  # at the last row
    drift = drift_profile(n_rows, horizon)[..., None] * offset[:, None]
    chunk = (batch.chunk + drift).astype(np.float32)
    return replace(batch, chunk=chunk, committed=n_rows.astype(np.int64))


def drift_profile(n_rows: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
    """Return (B, H) the share of its drift that a row has: 0 at row 0, 1 at the first free one.

    Args:
        n_rows: (B,) committed rows of every sample.
        horizon: Rows H of a chunk.
    """
    row = np.arange(horizon)[None]
    rise = _smoothstep(row / np.maximum(n_rows, 1)[:, None])
    fall = 1.0 - _smoothstep((row - n_rows[:, None]) / RETURN_ROWS)
    return np.where(row < n_rows[:, None], rise, fall)


def _smoothstep(part: NDArray[np.float64]) -> NDArray[np.float64]:
    part = part.clip(0.0, 1.0)
    return part * part * (3.0 - 2.0 * part)

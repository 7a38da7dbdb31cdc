# SPDX-License-Identifier: Apache-2.0
"""How action chunks become one motion: between the rows of a chunk, and from chunk to chunk.

Two tables, ``INTERPOLATIONS`` and ``SEAMS``. A new way to move is a function here and its row; the
parameters ``interpolation`` and ``seam`` of the command executor choose by name, and those of the
planner say the same, since it has to know what is played.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from cosmos_policy_ros.types import ActionChunk, ConfigError
import numpy as np
from numpy.typing import NDArray

Curve = Callable[[float], NDArray[np.float64]]
"""From a place between the rows, 0 for the first to H - 1 for the last, to an (A,) target."""

Interpolation = Callable[[NDArray[np.float64]], Curve]
"""From the (H, A) rows of a chunk to the curve along them, made once for each chunk.

The curve meets the first and the last row exactly and never leaves the range between the lowest
and the highest row of a joint.
"""

Share = Callable[[int, int], float]
"""The share of the new chunk in the target, from 0 to 1, the rest being the running chunk's.

Args: the time since the take-over [ns], negative before it, and ``blend_s`` as [ns]. The running
chunk is forgotten once the share is 1, so it has to get there, and to stay.
"""


@dataclass(frozen=True)
class Seam:
    """How a new chunk takes over from the running one.

    Attributes:
        share: The share of the new chunk over time.
        commits: Whether a query carries the rows that are played until its answer comes, so that
            the new chunk begins with them; what still disagrees is left to ``share``.
        waits: Whether the next query leaves when the chunk has been played, so that the arms stand
            until its answer comes, which is then played from its first row on.
    """

    share: Share
    commits: bool = False
    waits: bool = False


@dataclass(frozen=True)
class PlaybackSettings:
    """How action chunks are played.

    Attributes:
        seam: Row of ``SEAMS``: how a new chunk takes over from the running one.
        interpolation: Row of ``INTERPOLATIONS``: the way between the rows of a chunk.
        blend_s: Time that the take-over may last [s]; 0 switches at once.

    Raises:
        ConfigError: A row does not exist, or ``blend_s`` is negative or not finite.
    """

    seam: str = 'committed'
    interpolation: str = 'spline'
    blend_s: float = 0.2

    def __post_init__(self) -> None:
        """Refuse settings that cannot be played."""
        _check_row('seam', self.seam, SEAMS)
        _check_row('interpolation', self.interpolation, INTERPOLATIONS)
        if not (np.isfinite(self.blend_s) and self.blend_s >= 0):
            msg = f'blend_s must be a number of seconds from 0, got {self.blend_s}'
            raise ConfigError(msg)

    @property
    def commits(self) -> bool:
        """Whether a query carries the rows that are played until its answer comes."""
        return SEAMS[self.seam].commits

    @property
    def waits(self) -> bool:
        """Whether the next query leaves when the chunk has been played."""
        return SEAMS[self.seam].waits

    def played(self, chunk: ActionChunk, open_loop_rows: int) -> ActionChunk:
        """Return the part of a chunk that is played if no other comes.

        Args:
            chunk: What the policy proposes.
            open_loop_rows: How many rows it is to be played for where the seam waits, a fact of
                the policy; 0 is all.
        """
        if not (self.waits and open_loop_rows):
            return chunk
        return replace(chunk, positions=chunk.positions[:open_loop_rows])


def spline(rows: NDArray[np.float64]) -> Curve:
    """Return a uniform cubic B-spline with the rows as control points.

    Speed and acceleration have no jump at a row, no row is overshot, and a steady motion passes
    unchanged. What a denoiser leaves of noise from row to row shrinks to a third, while straight
    lines would hand all of it to the motors as jerk.

    Args:
        rows: (H, A) float64 rows of a chunk [rad; gripper 0..1].
    """
    inner = rows[[1, -2]] if len(rows) > 1 else rows[[0, 0]]
    before, after = 2 * rows[[0, -1]] - inner  # one more on either side makes the ends exact
    points = np.vstack([before, rows, after])  # (H + 2, A)
    last = len(rows) - 1

    def at(place: float) -> NDArray[np.float64]:
        row = min(int(place), max(last - 1, 0))
        u = place - row
        weights = ((1 - u) ** 3, (3 * u - 6) * u**2 + 4, ((3 - 3 * u) * u + 3) * u + 1, u**3)
        near = points[row : row + 4]  # three only where a chunk has a single row
        return np.array(weights[: len(near)]) @ near / 6.0

    return at


def linear(rows: NDArray[np.float64]) -> Curve:
    """Return straight lines from row to row, which meet every row and turn sharply at each.

    Args:
        rows: (H, A) float64 rows of a chunk [rad; gripper 0..1].
    """
    rows = rows.copy()
    last = len(rows) - 1

    def at(place: float) -> NDArray[np.float64]:
        row = min(int(place), max(last - 1, 0))
        u = place - row
        return (1.0 - u) * rows[row] + u * rows[min(row + 1, last)]

    return at


def blend(elapsed_ns: int, blend_ns: int) -> float:
    """Return a smoothstep: 0 at the take-over, 1 after ``blend_ns``, without a kink.

    The target has no jump where two chunks disagree, since at the take-over only the running one
    counts.
    """
    if elapsed_ns < 0:
        return 0.0
    if elapsed_ns >= blend_ns:
        return 1.0
    part = elapsed_ns / blend_ns
    return part * part * (3.0 - 2.0 * part)


def switch(elapsed_ns: int, blend_ns: int) -> float:
    """Return a step: 0 before the take-over, 1 from then on, whatever ``blend_ns`` is.

    Source: NVlabs/cosmos-policy ``run_aloha_eval``, which sends the rows of a chunk one after the
    other, asks while the arms hold the last one, and goes on with the first row of the answer.
    """
    return float(elapsed_ns >= 0)


INTERPOLATIONS: dict[str, Interpolation] = {
    'spline': spline,
    'linear': linear,
}
SEAMS: dict[str, Seam] = {
    'blend': Seam(blend),
    'committed': Seam(blend, commits=True),
    'official': Seam(switch, waits=True),
}


def _check_row(parameter: str, name: str, table: Mapping[str, object]) -> None:
    if name not in table:
        msg = f'{parameter} {name!r} does not exist; choose one of {sorted(table)}'
        raise ConfigError(msg)

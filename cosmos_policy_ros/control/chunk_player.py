# SPDX-License-Identifier: Apache-2.0
"""Which joint target the running action chunks ask for at any time.

Every chunk says when its row 0 is due, and it arrives later than that. The player skips the rows
whose time has passed, moves smoothly along the others and holds the last one. A new chunk takes
over from the running one along a smoothstep of ``blend_s`` seconds, so that the target has no jump
where two chunks disagree.

The rows are the control points of a uniform cubic B-spline: speed and acceleration have no jump
at a row, no row is overshot, and a steady motion passes unchanged. What a denoiser leaves of noise
from row to row shrinks to a third, while straight lines between the rows would hand all of it to
the motors as jerk. The first and the last row are met exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ActionChunk
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class _Track:
    """One chunk and when it begins to take over from those before it."""

    stamp_ns: int
    points: NDArray[np.float64]  # (H + 2, A) rows and one more on either side
    rows_per_ns: float
    takeover_ns: int

    @property
    def end_ns(self) -> int:
        """When the last row is due [ns, ROS clock]."""
        return self.stamp_ns + round((len(self.points) - 3) / self.rows_per_ns)

    def at(self, now_ns: int) -> NDArray[np.float64]:
        """Return the (A,) target due now; before row 0 the first, after the last row the last."""
        last = len(self.points) - 3
        place = min(max((now_ns - self.stamp_ns) * self.rows_per_ns, 0.0), float(last))
        row = min(int(place), max(last - 1, 0))
        u = place - row
        weights = ((1 - u) ** 3, (3 * u - 6) * u**2 + 4, ((3 - 3 * u) * u + 3) * u + 1, u**3)
        near = self.points[row : row + 4]  # three only where a chunk has a single row
        return np.array(weights[: len(near)]) @ near / 6.0


class ChunkPlayer:
    """Play action chunks by their stamps; join each new one to the running one without a jump."""

    def __init__(self, blend_s: float = 0.2, arm_joints: NDArray[np.bool_] | None = None) -> None:
        """Start without a chunk.

        Args:
            blend_s: How long a new chunk takes to take over [s]; 0 switches at once.
            arm_joints: (A,) bool, the joints whose seam jumps count; None counts all.
        """
        if not (np.isfinite(blend_s) and blend_s >= 0):
            msg = f'blend_s must be a number of seconds from 0, got {blend_s}'
            raise ValueError(msg)
        self._blend_ns = round(blend_s * 1e9)
        self._arm_joints = arm_joints
        self._tracks: list[_Track] = []  # oldest first; all but the newest are being blended out
        self._oldest_ns: int | None = None

    @classmethod
    def from_robot(cls, robot: RobotSpec, blend_s: float = 0.2) -> ChunkPlayer:
        """Return a player whose seam jumps leave out the robot's grippers."""
        return cls(blend_s, robot.arm_joints)

    def clear(self, now_ns: int | None = None) -> None:
        """Forget all chunks, as before a new episode.

        Args:
            now_ns: Chunks of an earlier observation than this are refused from now on
                [ns, ROS clock]; None takes any.
        """
        self._tracks.clear()
        self._oldest_ns = now_ns

    def add(self, chunk: ActionChunk, now_ns: int) -> float:
        """Let a chunk take over from now on, or from its row 0 if that is still to come.

        Returns:
            The seam jump [rad]: the largest difference, over the arm joints, between what the
            running chunks and what the new one ask for at the moment of the take-over, before
            blending; 0 for a first chunk.

        Raises:
            ValueError: The chunk is refused: not newer than the running one, observed before
                ``clear``, wholly in the past, or of another size. The running chunk plays on.
        """
        track = _Track(
            chunk.stamp_ns,
            _control_points(chunk.positions),
            chunk.rate_hz * 1e-9,
            max(now_ns, chunk.stamp_ns),
        )
        self._refuse(chunk, track, now_ns)
        jump = 0.0
        if self._tracks:
            gap = np.abs(track.at(track.takeover_ns) - self._blend(track.takeover_ns))
            jump = float(np.max(gap if self._arm_joints is None else gap[self._arm_joints]))
        self._tracks.append(track)
        return jump

    def target(self, now_ns: int) -> NDArray[np.float32] | None:
        """Return the (A,) float32 target due now [rad; gripper 0..1], or None before row 0."""
        if not self._tracks or now_ns < self._tracks[0].takeover_ns:
            return None
        for i in range(len(self._tracks) - 1, 0, -1):  # forget what has been blended out
            if now_ns >= self._tracks[i].takeover_ns + self._blend_ns:
                del self._tracks[:i]
                break
        return self._blend(now_ns).astype(np.float32)

    def remaining_s(self, now_ns: int) -> float:
        """Return how long the newest chunk still has rows [s]; 0 when it ended or none came."""
        if not self._tracks:
            return 0.0
        return max(0.0, (self._tracks[-1].end_ns - now_ns) * 1e-9)

    def _blend(self, now_ns: int) -> NDArray[np.float64]:
        """Return the (A,) target of all running chunks, each laid over those before it."""
        target = self._tracks[0].at(now_ns)
        for track in self._tracks[1:]:
            weight = _smoothstep(now_ns - track.takeover_ns, self._blend_ns)
            if weight > 0.0:
                target = (1.0 - weight) * target + weight * track.at(now_ns)
        return target

    def _refuse(self, chunk: ActionChunk, track: _Track, now_ns: int) -> None:
        if self._tracks:
            size, newest_ns = self._tracks[-1].points.shape[1], self._tracks[-1].stamp_ns
            if chunk.positions.shape[1] != size:
                msg = f'chunk has {chunk.positions.shape[1]} joints, the running one has {size}'
                raise ValueError(msg)
            if chunk.stamp_ns <= newest_ns:
                late_ms = (newest_ns - chunk.stamp_ns) * 1e-6
                msg = f'chunk is {late_ms:.0f} ms older than the running one; it must be newer'
                raise ValueError(msg)
        if self._oldest_ns is not None and chunk.stamp_ns < self._oldest_ns:
            early_ms = (self._oldest_ns - chunk.stamp_ns) * 1e-6
            msg = f'chunk was observed {early_ms:.0f} ms before the start; wait for the next'
            raise ValueError(msg)
        if track.end_ns < now_ns:
            past_ms = (now_ns - track.end_ns) * 1e-6
            msg = f'chunk ended {past_ms:.0f} ms ago; answer faster or predict further ahead'
            raise ValueError(msg)


def _control_points(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (H + 2, A): the rows, and one more on either side that makes the ends exact."""
    rows64 = rows.astype(np.float64)
    inner = rows64[[1, -2]] if len(rows64) > 1 else rows64[[0, 0]]
    before, after = 2 * rows64[[0, -1]] - inner
    return np.vstack([before, rows64, after])


def _smoothstep(elapsed_ns: int, length_ns: int) -> float:
    """Return the weight of the new chunk: 0 at the take-over, 1 after the blend, no kink."""
    if elapsed_ns < 0:
        return 0.0
    if elapsed_ns >= length_ns:
        return 1.0
    part = elapsed_ns / length_ns
    return part * part * (3.0 - 2.0 * part)

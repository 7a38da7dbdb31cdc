# SPDX-License-Identifier: Apache-2.0
"""The joint target that the running action chunks define at any time.

Every chunk states when its row 0 is due, and it arrives later than that. The player skips the rows
whose time has passed, moves along the others and holds the last one. The way between the rows and
the take-over of a new chunk from the running one are rows of the tables in ``seams.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.control.seams import Curve, INTERPOLATIONS, PlaybackSettings, SEAMS
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ActionChunk
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class _RunningChunk:
    """One chunk as a curve over time, and when it begins to take over from those before it."""

    stamp_ns: int
    curve: Curve
    n_rows: int
    size: int
    rows_per_ns: float
    takeover_ns: int

    @property
    def end_ns(self) -> int:
        """When the last row is due [ns, ROS clock]."""
        return self.stamp_ns + round((self.n_rows - 1) / self.rows_per_ns)

    def at(self, now_ns: int) -> NDArray[np.float64]:
        """Return the (A,) target due now; before row 0 the first, after the last row the last."""
        last = float(self.n_rows - 1)
        return self.curve(min(max((now_ns - self.stamp_ns) * self.rows_per_ns, 0.0), last))


class ChunkPlayer:
    """Action chunks as one motion, by their stamps."""

    def __init__(
        self,
        settings: PlaybackSettings | None = None,
        arm_joints: NDArray[np.bool_] | None = None,
    ) -> None:
        """Start without a chunk.

        Args:
            settings: Seam and interpolation; None takes the defaults.
            arm_joints: (A,) bool, the joints whose seam jumps count; None counts all.
        """
        settings = settings or PlaybackSettings()
        self._seam = SEAMS[settings.seam]
        self._interpolation = INTERPOLATIONS[settings.interpolation]
        self._blend_ns = round(settings.blend_s * 1e9)
        self._arm_joints = arm_joints
        self._running: list[_RunningChunk] = []  # oldest first; the newest takes over from them
        self._oldest_ns: int | None = None

    @classmethod
    def from_robot(cls, robot: RobotSpec, settings: PlaybackSettings | None = None) -> ChunkPlayer:
        """Return a player whose seam jumps leave out the robot's grippers."""
        return cls(settings, robot.arm_joints)

    def clear(self, now_ns: int | None = None) -> None:
        """Forget all chunks, as before a new episode.

        Args:
            now_ns: Chunks of an earlier observation than this are refused from now on
                [ns, ROS clock]; None takes any.
        """
        self._running.clear()
        self._oldest_ns = now_ns

    def add(self, chunk: ActionChunk, now_ns: int) -> float:
        """Let a chunk take over from now on, or from its row 0 if that is still to come.

        Args:
            chunk: The chunk; its rows are copied.
            now_ns: Time of arrival [ns, ROS clock].

        Returns:
            The seam jump [rad]: the largest difference, over the arm joints, between the targets
            of the running chunks and of the new one at the moment of the take-over, before the
            seam smooths it; 0 for a first chunk.

        Raises:
            ValueError: The chunk is refused: not newer than the running one, observed before
                ``clear``, wholly in the past, or of another size. The running chunk plays on.
        """
        n_rows, size = chunk.positions.shape
        new = _RunningChunk(
            stamp_ns=chunk.stamp_ns,
            curve=self._interpolation(chunk.positions.astype(np.float64)),
            n_rows=n_rows,
            size=size,
            rows_per_ns=chunk.rate_hz * 1e-9,
            takeover_ns=max(now_ns, chunk.stamp_ns),
        )
        self._refuse(new, now_ns)
        jump = 0.0
        if self._running:
            gap = np.abs(new.at(new.takeover_ns) - self._join(new.takeover_ns))
            jump = float(np.max(gap if self._arm_joints is None else gap[self._arm_joints]))
        self._running.append(new)
        return jump

    def target(self, now_ns: int) -> NDArray[np.float32] | None:
        """Return the (A,) float32 target due now [rad; gripper 0..1], or None before row 0.

        Args:
            now_ns: Time now [ns, ROS clock], not before that of the last call.
        """
        if not self._running or now_ns < self._running[0].takeover_ns:
            return None
        for i in range(len(self._running) - 1, 0, -1):  # forget what nothing is left of
            if self._share(self._running[i], now_ns) >= 1.0:
                del self._running[:i]
                break
        return self._join(now_ns).astype(np.float32)

    def remaining_s(self, now_ns: int) -> float:
        """Return the time until the last row of the newest chunk [s]; 0 after it or without one.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        if not self._running:
            return 0.0
        return max(0.0, (self._running[-1].end_ns - now_ns) * 1e-9)

    def _share(self, chunk: _RunningChunk, now_ns: int) -> float:
        """Return the share of a chunk in the target, over those before it, from 0 to 1."""
        return self._seam(now_ns - chunk.takeover_ns, self._blend_ns)

    def _join(self, now_ns: int) -> NDArray[np.float64]:
        """Return the (A,) target of all running chunks, each laid over those before it."""
        target = self._running[0].at(now_ns)
        for chunk in self._running[1:]:
            share = self._share(chunk, now_ns)
            if share > 0.0:
                target = (1.0 - share) * target + share * chunk.at(now_ns)
        return target

    def _refuse(self, new: _RunningChunk, now_ns: int) -> None:
        """Refuse a chunk that cannot follow the running one; see ``add``."""
        if self._running:
            newest = self._running[-1]
            if new.size != newest.size:
                msg = f'chunk has {new.size} joints, the running one has {newest.size}'
                raise ValueError(msg)
            if new.stamp_ns <= newest.stamp_ns:
                late_ms = (newest.stamp_ns - new.stamp_ns) * 1e-6
                msg = f'chunk is {late_ms:.0f} ms older than the running one; it must be newer'
                raise ValueError(msg)
        if self._oldest_ns is not None and new.stamp_ns < self._oldest_ns:
            early_ms = (self._oldest_ns - new.stamp_ns) * 1e-6
            msg = f'chunk was observed {early_ms:.0f} ms before the start; wait for the next'
            raise ValueError(msg)
        if new.end_ns < now_ns:
            past_ms = (now_ns - new.end_ns) * 1e-6
            msg = f'chunk ended {past_ms:.0f} ms ago; answer faster or predict further ahead'
            raise ValueError(msg)


def remaining_rows(chunk: ActionChunk, now_ns: int) -> tuple[NDArray[np.float32], float]:
    """Return the (R, A) rows of a chunk that are due from now on, and the time to the first [s].

    Args:
        chunk: The running chunk.
        now_ns: Time now [ns, ROS clock].
    """
    passed = (now_ns - chunk.stamp_ns) * 1e-9 * chunk.rate_hz
    first = max(0, int(np.ceil(passed)))
    return chunk.positions[first:], (first - passed) / chunk.rate_hz

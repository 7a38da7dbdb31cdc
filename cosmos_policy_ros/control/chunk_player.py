# SPDX-License-Identifier: Apache-2.0
"""The joint target that the running action chunks define at any time.

Every chunk states when its row 0 is due, and it arrives later than that. The player skips the rows
whose time has passed, moves along the others and holds the last one. Where the arms have stood
still since then, before the first chunk and after the end of one, nothing has passed: the chunk
begins when it arrives. The way between the rows and the take-over of a new chunk from the running
one are rows of the tables in ``seams.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import NamedTuple

from cosmos_policy_ros.control.seams import Curve, INTERPOLATIONS, PlaybackSettings, SEAMS
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ActionChunk
import numpy as np
from numpy.typing import NDArray

SLOPE_NS = 1_000_000  # speeds are differences over so short a time
GRID_ROWS = 1e-3  # how far from a row a time may be to count as on it, in rows


class SeamJump(NamedTuple):
    """How far the new and the running chunks disagree at the take-over, before it is smoothed.

    Attributes:
        rad: Largest difference of the targets over the arm joints [rad].
        rad_s: Largest difference of their speeds [rad/s].
    """

    rad: float = 0.0
    rad_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _RunningChunk:
    """One chunk as a curve over time, and when it begins to take over from those before it."""

    observed_ns: int
    stamp_ns: int  # when row 0 is due, later than observed where the arms stood still meanwhile
    rows: NDArray[np.float64]  # (H, A)
    curve: Curve
    rows_per_ns: float
    takeover_ns: int

    @property
    def n_rows(self) -> int:
        """Rows H of the chunk."""
        return len(self.rows)

    @property
    def end_ns(self) -> int:
        """When the last row is due [ns, ROS clock]."""
        return self.stamp_ns + round((self.n_rows - 1) / self.rows_per_ns)

    def at(self, now_ns: int) -> NDArray[np.float64]:
        """Return the (A,) target due now; before row 0 the first, after the last row the last."""
        last = float(self.n_rows - 1)
        return self.curve(min(max((now_ns - self.stamp_ns) * self.rows_per_ns, 0.0), last))

    def row_at(self, now_ns: int, rows_per_ns: float) -> int | None:
        """Return the number of the row due now; None off its grid, or on one of another rate."""
        place = (now_ns - self.stamp_ns) * self.rows_per_ns
        on_grid = abs(place - round(place)) < GRID_ROWS
        same_rate = abs(rows_per_ns / self.rows_per_ns - 1.0) * self.n_rows < GRID_ROWS
        return round(place) if on_grid and same_rate else None


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
        self._seam_share = SEAMS[settings.seam].share
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

    def add(self, chunk: ActionChunk, now_ns: int) -> SeamJump:
        """Let a chunk take over from now on, or from its row 0 if that is still to come.

        Where nothing has been played since the chunk's stamp, its row 0 is due now instead.

        Args:
            chunk: The chunk; its rows are copied.
            now_ns: Time of arrival [ns, ROS clock].

        Returns:
            The seam jump at the moment of the take-over; 0 for a first chunk.

        Raises:
            ValueError: The chunk is refused: not newer than the running one, observed before
                ``clear``, wholly in the past, or of another size. The running chunk plays on.
        """
        rows = chunk.positions.astype(np.float64)
        stood = not self._running or self._running[-1].end_ns <= chunk.stamp_ns
        new = _RunningChunk(
            observed_ns=chunk.stamp_ns,
            stamp_ns=max(now_ns, chunk.stamp_ns) if stood else chunk.stamp_ns,
            rows=rows,
            curve=self._interpolation(rows),
            rows_per_ns=chunk.rate_hz * 1e-9,
            takeover_ns=max(now_ns, chunk.stamp_ns),
        )
        self._refuse(new, now_ns)
        jump = SeamJump()
        if self._running:
            at_ns = new.takeover_ns
            gap = self._gap(new, at_ns)
            speed_gap = (self._gap(new, at_ns + SLOPE_NS) - gap) / (SLOPE_NS * 1e-9)
            jump = SeamJump(float(np.abs(gap).max()), float(np.abs(speed_gap).max()))
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

    @property
    def end_ns(self) -> int | None:
        """When the last row of the newest chunk is due [ns, ROS clock]; None without a chunk."""
        return self._running[-1].end_ns if self._running else None

    def remaining_s(self, now_ns: int) -> float:
        """Return the time until the last row of the newest chunk [s]; 0 after it or without one.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        if not self._running:
            return 0.0
        return max(0.0, (self._running[-1].end_ns - now_ns) * 1e-9)

    def upcoming(self, start_ns: int, rate_hz: float, n_rows: int) -> NDArray[np.float32] | None:
        """Return the (n, A) float32 rows that will be played if nothing new arrives.

        None without a chunk that is still played then: whatever comes next begins when it comes.

        As the first rows of a new chunk they continue the motion: a spline of them is the running
        one from the second to the third last. For that a row is the newest chunk's own where that
        chunk has a row at this time and no other one has a share left, since rows are control
        points, not points that are passed; else it is the target of that time. After the end the
        last row is repeated.

        Args:
            start_ns: When the first row is due [ns, ROS clock], not before the last ``target``.
            rate_hz: Spacing of the rows [Hz].
            n_rows: How many.
        """
        if not self._running or self._running[-1].end_ns <= start_ns:
            return None
        newest = self._running[-1]
        rows_per_ns = rate_hz * 1e-9
        rows = []
        for i in range(n_rows):
            at_ns = start_ns + round(i / rows_per_ns)
            row = newest.row_at(at_ns, rows_per_ns)
            alone = len(self._running) == 1 or self._share(newest, at_ns) >= 1.0
            if row is None or not alone:
                rows.append(self._join(at_ns))
            else:
                rows.append(newest.rows[min(max(row, 0), newest.n_rows - 1)])
        size = newest.rows.shape[1]
        return np.array(rows, dtype=np.float32).reshape(n_rows, size)

    def next_row_ns(self, now_ns: int) -> int | None:
        """Return when the next row of the newest chunk is due, maybe now [ns, ROS clock].

        A query of that stamp has the running chunk's own rows as its ``upcoming`` ones. None
        without a chunk, and after its last row: any time is as good as another then.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        if not self._running:
            return None
        newest = self._running[-1]
        row = math.ceil((now_ns - newest.stamp_ns) * newest.rows_per_ns - 1e-6)
        if row >= newest.n_rows:
            return None
        return newest.stamp_ns + round(row / newest.rows_per_ns)

    def _gap(self, new: _RunningChunk, now_ns: int) -> NDArray[np.float64]:
        """Return the targets of a new chunk less those of the running ones, of arm joints."""
        gap = new.at(now_ns) - self._join(now_ns)
        return gap if self._arm_joints is None else gap[self._arm_joints]

    def _share(self, chunk: _RunningChunk, now_ns: int) -> float:
        """Return the share of a chunk in the target, over those before it, from 0 to 1."""
        return self._seam_share(now_ns - chunk.takeover_ns, self._blend_ns)

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
            size, newest_size = new.rows.shape[1], newest.rows.shape[1]
            if size != newest_size:
                msg = f'chunk has {size} joints, the running one has {newest_size}'
                raise ValueError(msg)
            if new.observed_ns <= newest.observed_ns:
                late_ms = (newest.observed_ns - new.observed_ns) * 1e-6
                msg = f'chunk is {late_ms:.0f} ms older than the running one; it must be newer'
                raise ValueError(msg)
        if self._oldest_ns is not None and new.observed_ns < self._oldest_ns:
            early_ms = (self._oldest_ns - new.observed_ns) * 1e-6
            msg = f'chunk was observed {early_ms:.0f} ms before the start; wait for the next'
            raise ValueError(msg)
        past_ns = now_ns - new.observed_ns - (new.end_ns - new.stamp_ns)
        if past_ns > 0:
            past_ms = past_ns * 1e-6
            msg = f'chunk ended {past_ms:.0f} ms ago; answer faster or predict further ahead'
            raise ValueError(msg)

# SPDX-License-Identifier: Apache-2.0
"""The joint target that the running action chunks define at any time.

Every chunk states when its row 0 is due, and it arrives later than that. The player skips the rows
whose time has passed, moves along the others and holds the last one. While the arms stand still,
before the first chunk and after the end of one, nothing passes: the next chunk goes on when it
comes. The way between the rows and the take-over of a new chunk from the running one are rows of
the tables in ``seams.py``. From a pose that is held, before the first chunk and after the end of
one, a chunk takes over slowly, and its clock starts from rest, as the arms do.

A chunk is refused that nobody can have meant: too long, from too far ahead or already over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
from typing import NamedTuple

from cosmos_policy_ros.control.seams import (
    blend,
    Curve,
    INTERPOLATIONS,
    PlaybackSettings,
    SEAMS,
    Share,
)
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ActionChunk
import numpy as np
from numpy.typing import NDArray

SLOPE_NS = 1_000_000  # speeds are differences over so short a time
GRID_ROWS = 1e-3  # how far from a row a time may be to count as on it, in rows
MOST_ROWS = 256  # of a chunk; those of policies have 8 to 100
MOST_AHEAD_NS = 250_000_000  # from now to row 0; a replay sends its chunks 0.2 s before that
SAME_RAD = 1e-3  # [rad; gripper of 1] by which rows that rest at a pose may differ
JOIN_RAD = 1e-3  # a chunk that begins as near to a held pose takes over at once
JOIN_SPEED = 0.5  # [rad/s] that the take-over from a held pose adds to a chunk's own speed
START_SHARE = 0.5  # of the acceleration limits, in which a chunk's clock starts from rest …
MOST_START_NS = 500_000_000  # … within so long
STEEPEST = 1.5  # highest slope of a seam's share, over that of a straight line


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
    stamp_ns: int  # when row 0 is due at full speed, later than observed where the arms stood
    rows: NDArray[np.float64]  # (H, A)
    curve: Curve
    rows_per_ns: float
    takeover_ns: int
    blend_ns: int
    share: Share
    start_ns: int = 0  # from the take-over on, in which its clock gets up to speed

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
        left_ns = self.takeover_ns + self.start_ns - now_ns  # of the start
        if self.start_ns and left_ns > 0:  # speed rises evenly, and half of the time is lost
            left_ns = min(left_ns, self.start_ns)
            now_ns = max(now_ns, self.takeover_ns) + round(left_ns**2 / (2 * self.start_ns))
        last = float(self.n_rows - 1)
        return self.curve(min(max((now_ns - self.stamp_ns) * self.rows_per_ns, 0.0), last))

    def row_at(self, now_ns: int, rows_per_ns: float) -> int | None:
        """Return the number of the row due now; None off its grid, or on one of another rate."""
        if now_ns < self.takeover_ns + self.start_ns:
            return None
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
        ends: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
        accelerations: NDArray[np.floating] | None = None,
    ) -> None:
        """Start without a chunk.

        Args:
            settings: Seam and interpolation; None takes the defaults.
            arm_joints: (A,) bool, the joints whose seam jumps count; None counts all.
            ends: Two (A,), the lowest and the highest numbers of a row; what goes beyond counts
                as the end [rad; gripper 0..1]. None takes rows as they are.
            accelerations: (A,) highest ones [rad/s²; gripper 1/s²], by which a chunk starts from
                a held pose. None starts it at its own speed.
        """
        settings = settings or PlaybackSettings()
        self._seam_share, self._waits = SEAMS[settings.seam].share, settings.waits
        self._interpolation = INTERPOLATIONS[settings.interpolation]
        self._blend_ns = round(settings.blend_s * 1e9)
        self._arm_joints, self._ends, self._accelerations = arm_joints, ends, accelerations
        self._running: list[_RunningChunk] = []  # oldest first; the newest takes over from them
        self._oldest_ns: int | None = None
        self._held: NDArray[np.float64] | None = None  # (A,) pose to take over from, none running

    @classmethod
    def from_robot(cls, robot: RobotSpec, settings: PlaybackSettings | None = None) -> ChunkPlayer:
        """Return a player that knows which joints are the robot's grippers, and their ends.

        Seam jumps leave them out. A policy that wants one shut tight says less than 0; what is
        played, interpolated and committed to is the end of its range. Ranges of arm joints are
        left to the safety, which brakes in time for them.
        """
        arm = robot.arm_joints
        ends = np.where(arm, -np.inf, robot.lower), np.where(arm, np.inf, robot.upper)
        return cls(settings, arm, ends, robot.max_acceleration)

    def clear(self, now_ns: int | None = None, held: NDArray[np.floating] | None = None) -> None:
        """Forget all chunks, as before a new episode.

        Args:
            now_ns: Chunks of an earlier observation than this are refused from now on
                [ns, ROS clock]; None takes any.
            held: (A,) pose that the next chunk takes over from [rad; gripper 0..1]; None where
                that is not known.
        """
        self._running.clear()
        self._oldest_ns = now_ns
        self._held = None if held is None else held.astype(np.float64)

    def add(self, chunk: ActionChunk, now_ns: int) -> SeamJump:
        """Let a chunk take over from now on, or from its row 0 if that is still to come.

        Time in which the arms have stood since the chunk's stamp does not count for its rows,
        unless they rest then too; with a seam that waits it never counts.

        Args:
            chunk: The chunk; its rows are copied.
            now_ns: Time of arrival [ns, ROS clock].

        Returns:
            The seam jump at the moment of the take-over; 0 for a first chunk.

        Raises:
            ValueError: The chunk is refused: not newer than the running one, observed before
                ``clear``, wholly in the past, due later than ``MOST_AHEAD_NS``, of another size
                or of more than ``MOST_ROWS`` rows. The running chunk plays on.
        """
        rows = chunk.positions.astype(np.float64)
        if self._ends is not None:
            rows = rows.clip(*self._ends)
        rows_per_ns = chunk.rate_hz * 1e-9
        passed = self._find_passed(rows, rows_per_ns, chunk.stamp_ns, now_ns)
        stood = self._find_stood_ns(chunk.stamp_ns, now_ns) > 0
        stamp_ns = now_ns - round(passed / rows_per_ns) if stood else chunk.stamp_ns
        new = _RunningChunk(
            observed_ns=chunk.stamp_ns,
            stamp_ns=stamp_ns,
            rows=rows,
            curve=self._interpolation(rows),
            rows_per_ns=rows_per_ns,
            takeover_ns=max(now_ns, chunk.stamp_ns),
            blend_ns=self._blend_ns,
            share=self._seam_share,
        )
        self._refuse(new, now_ns)
        jump, rested_ns = SeamJump(), MOST_START_NS
        if self._running:
            at_ns = new.takeover_ns
            gap = self._gap(new, at_ns)
            speed_gap = (self._gap(new, at_ns + SLOPE_NS) - gap) / (SLOPE_NS * 1e-9)
            jump = SeamJump(float(np.abs(gap).max()), float(np.abs(speed_gap).max()))
            if self._running[-1].end_ns <= at_ns <= now_ns:
                rested_ns = at_ns - self._running[-1].end_ns
                self._held = self._join(at_ns)
                self._running.clear()
        if not self._running and self._held is not None:
            new = self._join_held(new, self._held, rested_ns)
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

    def distance_rad(self, chunk: ActionChunk, pose: NDArray[np.float32], now_ns: int) -> float:
        """Return how far a chunk passes from a pose at the nearest, over the arm joints [rad].

        Its rows up to the one that it would begin with count: a policy begins where it saw the
        arms, while those of a chunk that is not meant for them are all somewhere else.

        Args:
            chunk: The chunk.
            pose: (A,) float32 [rad; gripper 0..1].
            now_ns: Time of arrival [ns, ROS clock].
        """
        rows, rows_per_ns = chunk.positions.astype(np.float64), chunk.rate_hz * 1e-9
        passed = self._find_passed(rows, rows_per_ns, chunk.stamp_ns, now_ns)
        gap = np.abs(rows[: max(math.ceil(passed), 0) + 1] - pose)
        gap = gap if self._arm_joints is None else gap[:, self._arm_joints]
        return float(gap.max(axis=1).min())

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
        now_ns = max(now_ns, newest.takeover_ns + newest.start_ns)
        row = math.ceil((now_ns - newest.stamp_ns) * newest.rows_per_ns - 1e-6)
        if row >= newest.n_rows:
            return None
        return newest.stamp_ns + round(row / newest.rows_per_ns)

    def _find_stood_ns(self, stamp_ns: int, now_ns: int) -> int:
        """Return how long the arms have stood since a stamp [ns]; not above 0 if they move."""
        return now_ns - max(stamp_ns, self._running[-1].end_ns if self._running else 0)

    def _find_passed(
        self, rows: NDArray[np.float64], rows_per_ns: float, stamp_ns: int, now_ns: int
    ) -> float:
        """Return where a chunk would begin now, in rows, see ``add``; negative before row 0."""
        passed = (now_ns - stamp_ns) * rows_per_ns
        stood_ns = self._find_stood_ns(stamp_ns, now_ns)
        if stood_ns <= 0:
            return passed
        start = passed - stood_ns * rows_per_ns
        return start if self._waits else _skip_rest(rows, start, passed)

    def _join_held(
        self, new: _RunningChunk, held: NDArray[np.float64], rested_ns: int
    ) -> _RunningChunk:
        """Let a chunk take over from a held pose, as slowly as that is far away.

        It takes over from itself, moved to where the arms are, while its clock gets up to speed.
        That is so whatever the seam, which is between two chunks. Arms that have rested for a
        moment only were still braking, and regain no more than they lost.
        """
        start_ns = min(self._find_start_ns(new), 2 * rested_ns)
        new = replace(new, stamp_ns=new.stamp_ns + start_ns // 2, start_ns=start_ns)
        gap = new.at(new.takeover_ns) - held
        gap = gap if self._arm_joints is None else np.where(self._arm_joints, gap, 0.0)
        farthest = float(np.abs(gap).max())
        if farthest < JOIN_RAD:
            return new
        rows = new.rows - gap
        self._running.append(replace(new, rows=rows, curve=self._interpolation(rows)))
        slowly_ns = round(STEEPEST * farthest / JOIN_SPEED * 1e9)
        return replace(new, blend_ns=max(self._blend_ns, slowly_ns), share=blend)

    def _find_start_ns(self, new: _RunningChunk) -> int:
        """Return how long arms at rest take to the speed with which a chunk takes over [ns]."""
        if self._accelerations is None:
            return 0
        way = np.abs(new.at(new.takeover_ns + SLOPE_NS) - new.at(new.takeover_ns))
        way = way if self._arm_joints is None else np.where(self._arm_joints, way, 0.0)
        seconds = way / (SLOPE_NS * 1e-9) / (START_SHARE * self._accelerations)
        return min(round(float(seconds.max()) * 1e9), MOST_START_NS)

    def _gap(self, new: _RunningChunk, now_ns: int) -> NDArray[np.float64]:
        """Return the targets of a new chunk less those of the running ones, of arm joints."""
        gap = new.at(now_ns) - self._join(now_ns)
        return gap if self._arm_joints is None else gap[self._arm_joints]

    def _share(self, chunk: _RunningChunk, now_ns: int) -> float:
        """Return the share of a chunk in the target, over those before it, from 0 to 1."""
        return chunk.share(now_ns - chunk.takeover_ns, chunk.blend_ns)

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
        ahead_ns = new.observed_ns - now_ns
        if new.n_rows > MOST_ROWS:
            msg = f'chunk has {new.n_rows} rows, limit {MOST_ROWS}'
            raise ValueError(msg)
        if ahead_ns > MOST_AHEAD_NS:
            msg = f'chunk is stamped {ahead_ns * 1e-6:.0f} ms in the future, limit '
            msg += f'{MOST_AHEAD_NS * 1e-6:.0f} ms; synchronise the clocks of the machines'
            raise ValueError(msg)
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
            msg = f'chunk was observed {early_ms:.0f} ms before the start or the end of a hold; '
            msg += 'wait for the next'
            raise ValueError(msg)
        past_ns = now_ns - new.end_ns
        if past_ns > 0:
            past_ms = past_ns * 1e-6
            msg = f'chunk ended {past_ms:.0f} ms ago; answer faster or predict further ahead'
            raise ValueError(msg)


def _skip_rest(rows: NDArray[np.float64], start: float, most: float) -> float:
    """Return where arms that stand go on in a chunk: behind the rows that rest from there on.

    A chunk that was committed to the pose in which they came to stand rests in it as long as it
    was thought to.

    Args:
        rows: (H, A).
        start: Where they came to stand, in rows.
        most: How far they may go on at most, in rows.
    """
    first = last = math.ceil(start - GRID_ROWS)
    while last + 1 <= min(most, len(rows) - 1):
        if np.abs(rows[last + 1] - rows[first]).max() > SAME_RAD:
            break
        last += 1
    return start if last == first else float(last)

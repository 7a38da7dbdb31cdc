# SPDX-License-Identifier: Apache-2.0
"""What the command executor plays, as the planner knows it: its own chunks and the commands sent.

The planner plays along the chunks that it sends, in a player with the executor's settings, since
the rows still to come are part of its next query. Whether the executor really plays them, only its
commands tell: it may be disabled, hold, or have refused a chunk. Where they say something else the
commands count, and where they say too little nothing is committed to.
"""

from __future__ import annotations

from collections import deque

from cosmos_policy_ros.control.chunk_player import ChunkPlayer
from cosmos_policy_ros.control.pacing import SPLINE_ROWS
from cosmos_policy_ros.control.seams import INTERPOLATIONS, PlaybackSettings
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ActionChunk
import numpy as np
from numpy.typing import NDArray

STALE_NS = 500_000_000  # without a command for as long the executor is disabled or gone
ENABLED_NS = 50_000_000  # how long before its first command an executor may have been enabled
HELD_NS = 200_000_000  # commands that stand still for as long are a pose that is held …
HELD_RAD = 1e-3  # … within this [rad] …
ASTRAY_RAD = 0.02  # … if the chunk is elsewhere by more than this [rad]
KEPT_NS = 5_000_000_000  # how long commands are kept, more than a query takes


class ExecutorMirror:
    """The motion of the command executor, by the chunks it was sent and the commands it sends."""

    def __init__(self, robot: RobotSpec, settings: PlaybackSettings) -> None:
        """Start without chunks and commands.

        Args:
            robot: Robot whose joints are commanded.
            settings: Those of the executor.
        """
        self._player = ChunkPlayer.from_robot(robot, settings)
        self._interpolation = INTERPOLATIONS[settings.interpolation]
        self._arm_joints = robot.arm_joints
        self._commands: deque[tuple[int, NDArray[np.float32]]] = deque()  # oldest first

    def note_command(self, stamp_ns: int, positions: NDArray[np.float32]) -> None:
        """Take a command that was sent; the chunks before a silence are forgotten.

        Args:
            stamp_ns: Its stamp [ns, ROS clock].
            positions: (A,) float32 [rad; gripper 0..1].
        """
        if self._silent(stamp_ns):  # an executor that is enabled plays nothing from before
            self._commands.clear()
            self._player.clear(stamp_ns - ENABLED_NS, positions)
        self._commands.append((stamp_ns, positions))
        while self._commands[0][0] < stamp_ns - KEPT_NS:
            self._commands.popleft()

    def forget(self, now_ns: int) -> None:
        """Play no chunk of before, as when somebody else has led the arms.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        self._player.clear(now_ns, self._commands[-1][1] if self._commands else None)

    def add(self, chunk: ActionChunk, now_ns: int) -> None:
        """Play a chunk along that is sent to the executor now.

        Nothing happens while no commands are sent, since the executor ignores it then. Chunks that
        the commands do not follow are forgotten.

        Args:
            chunk: The chunk.
            now_ns: Time now [ns, ROS clock].

        Raises:
            ValueError: As ``ChunkPlayer.add``: the executor refuses it too.
        """
        if self._silent(now_ns):
            return
        if self._astray():
            self._player.clear(chunk.stamp_ns, self._commands[-1][1])
        self._player.add(chunk, now_ns)

    def next_row_ns(self, now_ns: int) -> int | None:
        """Return when the next row of the running chunk is due, see ``ChunkPlayer``."""
        return None if self._silent(now_ns) else self._player.next_row_ns(now_ns)

    def stopped(self, now_ns: int) -> bool:
        """Whether the executor has left the chunk that it was sent, and stands.

        It waits for a chunk that is asked for from now on, if it does not hold any more.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        return not self._silent(now_ns) and self._astray()

    def upcoming(self, start_ns: int, rate_hz: float, n_rows: int) -> NDArray[np.float32]:
        """Return the (n, A) float32 rows that will be played if no new chunk comes.

        Those of the running chunk; the commanded pose where the commands stand still elsewhere, as
        while the executor holds; no rows where nothing is played, since the next chunk begins when
        it comes then, nor where nobody knows.

        Args:
            start_ns: When the first row is due [ns, ROS clock].
            rate_hz: Spacing of the rows [Hz].
            n_rows: How many.
        """
        nothing = np.zeros((0, len(self._arm_joints)), np.float32)
        if self._silent(start_ns):
            return nothing
        if self._astray():
            return np.tile(self._commands[-1][1], (n_rows, 1))
        rows = self._player.upcoming(start_ns, rate_hz, n_rows)
        return nothing if rows is None else rows

    @property
    def end_ns(self) -> int | None:
        """When the last row of the newest chunk is due [ns, ROS clock]; None without a chunk."""
        return self._player.end_ns

    def mismatch_rad(
        self, rows: NDArray[np.float32], stamp_ns: int, rate_hz: float, now_ns: int
    ) -> float:
        """Return how far committed rows were from what was commanded since, over arm joints [rad].

        NaN where no command tells: the rows between the second and the third last say where the
        arms are, the others depend on rows that were not committed.

        Args:
            rows: (D, A) float32 committed rows [rad; gripper 0..1].
            stamp_ns: When their first was due [ns, ROS clock].
            rate_hz: Their spacing [Hz].
            now_ns: Time now [ns, ROS clock].
        """
        if len(rows) <= SPLINE_ROWS:
            return float('nan')
        curve = self._interpolation(rows.astype(np.float64))
        last = float(len(rows) - SPLINE_ROWS)
        gaps = [
            self._gap(curve(place), pose)
            for sent_ns, pose in self._commands
            if sent_ns <= now_ns
            and 1.0 <= (place := (sent_ns - stamp_ns) * 1e-9 * rate_hz) <= last
        ]
        return max(gaps, default=float('nan'))

    def _silent(self, now_ns: int) -> bool:
        """Whether no command has come for too long, or none since a clock was set back."""
        return not self._commands or abs(now_ns - self._commands[-1][0]) > STALE_NS

    def _astray(self) -> bool:
        """Whether the commands stand still elsewhere than the chunks are."""
        stamp_ns, pose = self._commands[-1]
        target = self._player.target(stamp_ns)
        return target is not None and self._still() and self._gap(target, pose) > ASTRAY_RAD

    def _still(self) -> bool:
        """Whether the newest commands are one pose."""
        stamp_ns, pose = self._commands[-1]
        recent = [p for sent_ns, p in self._commands if sent_ns >= stamp_ns - HELD_NS]
        return all(self._gap(p, pose) < HELD_RAD for p in recent)

    def _gap(self, one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
        """Return the largest difference of two poses over the arm joints [rad]."""
        return float(np.abs(one - other)[self._arm_joints].max())

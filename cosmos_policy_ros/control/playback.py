# SPDX-License-Identifier: Apache-2.0
"""From action chunks to joint commands: a chunk player behind the safety, with its figures.

A hold ends the running chunk: where the arms would be by now they are not, and what the policy saw
then is old. When all is well again, the arms wait for a chunk that was asked for since.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

from cosmos_policy_ros.control.chunk_player import ChunkPlayer, SeamJump
from cosmos_policy_ros.control.collision import open_scene
from cosmos_policy_ros.control.safety import Limits, Safety, WatchdogLimits
from cosmos_policy_ros.control.seams import PlaybackSettings
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.status import LedBy, Mode
from cosmos_policy_ros.types import ActionChunk, JointCommand
import numpy as np
from numpy.typing import NDArray

KEPT_JUMPS = 1000  # seam jumps over which the percentile is taken


@dataclass
class PlaybackStats:
    """Figures of a playback since it was enabled.

    Attributes:
        chunks: Chunks that were accepted.
        seam_jump: Seam jump of the newest chunk.
        seam_jumps_rad: Those of all chunks but the first, which takes over from none, the newest
            ``KEPT_JUMPS`` of them [rad].
        seam_jump_rad_max: Largest seam jump [rad].
        seam_speed_jump_rad_s_max: Largest difference of speeds at a take-over [rad/s].
        standstill_s: Time without rows to play, from the first chunk on [s].
    """

    chunks: int = 0
    seam_jump: SeamJump = field(default_factory=SeamJump)
    seam_jumps_rad: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_JUMPS))
    seam_jump_rad_max: float = 0.0
    seam_speed_jump_rad_s_max: float = 0.0
    standstill_s: float = 0.0

    @property
    def seam_jump_rad_p99(self) -> float:
        """99th percentile of the seam jumps [rad]; 0 before the second chunk."""
        return float(np.percentile(self.seam_jumps_rad or [0.0], 99.0))

    def note(self, jump: SeamJump) -> None:
        """Count a chunk that was accepted."""
        if self.chunks:
            self.seam_jumps_rad.append(jump.rad)
        self.chunks += 1
        self.seam_jump = jump
        self.seam_jump_rad_max = max(self.seam_jump_rad_max, jump.rad)
        self.seam_speed_jump_rad_s_max = max(self.seam_speed_jump_rad_s_max, jump.rad_s)


class Playback:
    """Action chunks in, one joint command per tick out; starts disabled.

    Attributes:
        safety: The last word on motion.
        stats: Figures since enabling.
        mode: ``disabled``, ``playing``, ``ended`` (no rows left, the last one is held), ``hold``
            or ``fault``, as of the last tick.
        led_by: ``policy``, always.
    """

    led_by: ClassVar[LedBy] = 'policy'

    def __init__(
        self,
        robot: RobotSpec,
        settings: PlaybackSettings | None = None,
        watchdog: WatchdogLimits | None = None,
    ) -> None:
        """Take the robot's limits; nothing moves before ``enable``.

        Args:
            robot: Robot whose joints are commanded, at its control rate.
            settings: Seam and interpolation of the chunks; None takes the defaults.
            watchdog: When to hold and when to fault; None takes the defaults.
        """
        self.safety = Safety(Limits.from_robot(robot), watchdog, open_scene(robot))
        self.stats = PlaybackStats()
        self.mode: Mode = 'disabled'
        self._player = ChunkPlayer.from_robot(robot, settings)
        self._period_s = 1.0 / robot.control_rate_hz

    @property
    def reason(self) -> str:
        """Why the arms do not just follow a chunk; empty when they do."""
        if self.mode == 'ended':  # also while a joint is still on its way to that row
            return 'action chunk ended, holding its last row'
        return self.safety.reason

    def enable(
        self, measured: NDArray[np.float32] | None, measured_age_s: float, now_ns: int
    ) -> None:
        """Allow motion from the measured pose; chunks observed before now are not played.

        Nothing happens while enabled.

        Args:
            measured: (A,) float32 measured joints [rad; gripper 0..1], None if unknown.
            measured_age_s: Their age [s].
            now_ns: Time now [ns, ROS clock].

        Raises:
            ValueError: As ``Safety.enable``.
        """
        if self.safety.state == 'enabled':
            return
        self.safety.enable(measured, measured_age_s)
        self.begin(now_ns)
        self.stats = PlaybackStats()

    def begin(self, now_ns: int) -> None:
        """Forget the chunks; the next one is observed from now on, and begins where the arms are.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        self._player.clear(now_ns, self.safety.pose)

    def disable(self) -> None:
        """Send nothing more and forget the chunks."""
        self.safety.disable()
        self.mode = 'disabled'
        self._player.clear()

    def add(self, chunk: ActionChunk, now_ns: int) -> None:
        """Let a chunk take over from the running one.

        Args:
            chunk: The chunk.
            now_ns: Time of arrival [ns, ROS clock].

        Raises:
            ValueError: As ``ChunkPlayer.add``, or the chunk was planned too long ago or is too far
                from where the arms are commanded; the running chunk plays on.
        """
        age_s = (now_ns - chunk.stamp_ns) * 1e-9
        if age_s > self.safety.watchdog.max_chunk_age_s:
            limit = self.safety.watchdog.max_chunk_age_s
            msg = f'chunk was planned from what was seen {age_s:.2f} s ago, limit {limit} s; '
            msg += 'be faster, or raise max_chunk_age_s where nobody else moves anything meanwhile'
            raise ValueError(msg)
        jump_rad = self._player.distance_rad(chunk, self.safety.pose, now_ns)
        if not jump_rad <= self.safety.watchdog.max_jump_rad:
            limit = self.safety.watchdog.max_jump_rad
            msg = f'chunk begins {jump_rad:.2f} rad from where the arms are, limit {limit}'
            raise ValueError(msg)
        self.stats.note(self._player.add(chunk, now_ns))

    def upcoming(self, start_ns: int, rate_hz: float, n_rows: int) -> NDArray[np.float32] | None:
        """Return the (n, A) float32 rows that will be played if nothing new arrives.

        See ``ChunkPlayer.upcoming``.

        Args:
            start_ns: When the first row is due [ns, ROS clock].
            rate_hz: Spacing of the rows [Hz].
            n_rows: How many.
        """
        return self._player.upcoming(start_ns, rate_hz, n_rows)

    @property
    def end_ns(self) -> int | None:
        """When the last row of the newest chunk is due [ns, ROS clock]; None without a chunk."""
        return self._player.end_ns

    def next_row_ns(self, now_ns: int) -> int | None:
        """Return when the next row of the running chunk is due, see ``ChunkPlayer``."""
        return self._player.next_row_ns(now_ns)

    def tick(
        self,
        measured: NDArray[np.float32] | None,
        measured_age_s: float,
        now_ns: int,
        n_periods: int = 1,
        hold_reason: str = '',
    ) -> JointCommand | None:
        """Return the command of one tick, or None while disabled.

        Args:
            measured: (A,) float32 newest measured joints [rad; gripper 0..1], None if unknown.
            measured_age_s: Their age [s].
            now_ns: Time of this tick [ns, ROS clock].
            n_periods: Control periods since the last tick, more than 1 when some were missed.
            hold_reason: Why to hold although chunks and joints are well; empty not to.
        """
        target = self._player.target(now_ns)
        command = self.safety.step(target, measured, measured_age_s, now_ns, hold_reason)
        if command is not None and self.safety.interrupted:
            self._player.clear(now_ns, command.positions)
        ended = self.stats.chunks > 0 and self._player.remaining_s(now_ns) == 0.0
        if command is None:
            self.mode = 'disabled'
        elif command.status == 'fault' or command.status == 'hold':
            self.mode = command.status
        else:
            self.mode = 'ended' if ended else 'playing'
        if self.safety.state == 'enabled' and ended:
            self.stats.standstill_s += n_periods * self._period_s
        return command

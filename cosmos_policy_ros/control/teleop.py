# SPDX-License-Identifier: Apache-2.0
"""Follower targets from leader arms that a person moves: wait, approach slowly, then follow.

Nothing moves before both leader grippers are closed, so that a leader that lies on the table is
not followed. Then the followers go to where the leaders are at a low speed, and only there they
follow. After every hold they approach again; after one in which the leaders were gone for long,
as when their driver was started again, once the grippers are closed again. Where a policy acted
before and a person takes over (``takeover.py``), leaders are near already, and farther ones are
not approached at all.

Source: Interbotix/aloha ``scripts/teleop.py`` (start with closed leader grippers).
Differs: ALOHA sends the leaders to a start pose first; here the followers come to the leaders.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from cosmos_policy_ros.control.collision import open_scene
from cosmos_policy_ros.control.playback import PlaybackStats
from cosmos_policy_ros.control.safety import Limits, Safety, WatchdogLimits
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.status import LedBy, Mode
from cosmos_policy_ros.types import JointCommand
import numpy as np
from numpy.typing import NDArray

Phase = Literal['waiting', 'approaching', 'following']


class Teleop:
    """Leader poses in, one joint command per tick out; starts disabled.

    Attributes:
        safety: The last word on motion.
        stats: Figures of a playback, all 0: there are no chunks.
        mode: As ``Playback.mode``, but never ``ended``.
        phase: ``waiting`` for closed grippers, ``approaching`` or ``following``.
        led_by: ``person``, always.
    """

    led_by: ClassVar[LedBy] = 'person'

    def __init__(
        self,
        robot: RobotSpec,
        approach_speed: float = 0.5,
        watchdog: WatchdogLimits | None = None,
        safety: Safety | None = None,
        max_apart: float = math.inf,
    ) -> None:
        """Take the robot's limits; nothing moves before ``enable``.

        Args:
            robot: Robot whose arms all have leaders.
            approach_speed: Highest speed of the approach [rad/s; gripper 1/s].
            watchdog: When to hold and when to fault, None takes the defaults; ``max_joint_age_s``
                holds for the leaders too.
            safety: Safety that others command through as well, None for one of its own; its
                watchdog counts then.
            max_apart: Leaders farther from the commanded pose are not approached [rad; gripper
                0..1].
        """
        self.safety = safety or Safety(Limits.from_robot(robot), watchdog, open_scene(robot))
        self._max_apart = max_apart
        self.stats = PlaybackStats()
        self.mode: Mode = 'disabled'
        self.phase: Phase = 'waiting'
        self._step = approach_speed / robot.control_rate_hz  # [rad] in one tick
        self._arms = [arm.name for arm in robot.arms]
        self._grippers = np.flatnonzero(~robot.arm_joints)
        self._start_below = np.array(
            [arm.leader.start_opening for arm in robot.arms if arm.leader]
        )
        self._leaders: NDArray[np.float32] | None = None
        self._leader_age_s = float('inf')
        self._cursor: NDArray[np.float32] | None = None  # how far the approach has come

    @property
    def reason(self) -> str:
        """Why the followers do not just follow the leaders; empty when they do."""
        approaching = self.mode == 'playing' and self.phase == 'approaching'
        return 'approaching the leaders' if approaching else self.safety.reason

    def enable(
        self, measured: NDArray[np.float32] | None, measured_age_s: float, now_ns: int
    ) -> None:
        """Allow motion from the measured pose, once the leader grippers are closed.

        Nothing happens while enabled.

        Args:
            measured: (A,) float32 measured follower joints [rad; gripper 0..1], None if unknown.
            measured_age_s: Their age [s].
            now_ns: Time now [ns, ROS clock]; not needed here, see ``Playback.enable``.

        Raises:
            ValueError: As ``Safety.enable``.
        """
        if self.safety.state != 'enabled':
            self.safety.enable(measured, measured_age_s)
            self.phase, self._cursor = 'waiting', None

    def join(self) -> None:
        """Go on from the commanded pose to the leaders, without waiting for closed grippers.

        Raises:
            ValueError: The leaders are missing, stale or too far away.
        """
        if refusal := self._find_silence() or self._find_distance():
            raise ValueError(refusal)
        self.phase, self._cursor = 'approaching', None

    def disable(self) -> None:
        """Send nothing more; the arms keep the last command they got."""
        self.safety.disable()
        self.mode = 'disabled'

    def lead(self, leaders: NDArray[np.float32] | None, age_s: float) -> None:
        """Set the newest poses of the leader arms.

        Args:
            leaders: (A,) float32 leader joints [rad; gripper 0..1], None if unknown.
            age_s: Age of the oldest leader's pose [s].
        """
        self._leaders, self._leader_age_s = leaders, age_s

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
            measured: (A,) float32 newest measured follower joints [rad; gripper 0..1], None if
                unknown.
            measured_age_s: Their age [s].
            now_ns: Time of this tick [ns, ROS clock].
            n_periods: Control periods since the last tick; a missed one brings the approach no
                farther.
            hold_reason: Why to hold although leaders and followers are well; empty not to.
        """
        silence = self._find_silence()
        longest_s = self.safety.watchdog.fault_joint_age_s
        if silence and self._leader_age_s > longest_s and math.isinf(self._max_apart):
            self.phase = 'waiting'  # they may come back anywhere, and who holds them may be gone
        reason = hold_reason or silence or self._find_hold_reason()
        target = None if reason else self._advance()
        command = self.safety.step(target, measured, measured_age_s, now_ns, reason)
        if command is None:
            self.mode = 'disabled'
        elif command.status == 'hold' or command.status == 'fault':
            self.mode, self._cursor = command.status, None
            if self.phase == 'following':
                self.phase = 'approaching'
        else:
            self.mode = 'playing'
        return command

    def _find_silence(self) -> str:
        """Return why nobody knows where the leaders are, empty when that is known."""
        limit_s = self.safety.watchdog.max_joint_age_s
        if self._leaders is None:
            return 'leader joint states are missing; check that the leader drivers run'
        if not self._leader_age_s <= limit_s:
            age_ms = self._leader_age_s * 1e3
            return f'leader joint states are {age_ms:.0f} ms old, limit {limit_s * 1e3:.0f} ms'
        if not np.isfinite(self._leaders).all():
            return 'leader joint states are not finite; check the leader drivers'
        return ''

    def _find_distance(self) -> str:
        """Return which leader joint is too far from the commanded pose, empty for none."""
        gap = np.abs(self._wanted() - self.safety.pose)
        i = int(gap.argmax())
        if gap[i] <= self._max_apart:
            return ''
        unit = ' rad' if self.safety.limits.arm_joints[i] else ' of its opening'
        return (
            f'the leader is {gap[i]:.2f}{unit} from {self.safety.limits.names[i]}, limit '
            f'{self._max_apart:g}; bring the leader to the follower'
        )

    def _find_hold_reason(self) -> str:
        """Return why leaders whose pose is known are not followed now, empty when they are."""
        assert self._leaders is not None
        if self.phase == 'waiting':
            opening = self._leaders[self._grippers]
            open_ = [a for a, x in zip(self._arms, opening >= self._start_below, strict=True) if x]
            if open_:
                return f'close the leader grippers of {open_} to start'
            self.phase = 'approaching'
        return self._find_distance() if self.phase == 'approaching' else ''

    def _wanted(self) -> NDArray[np.float32]:
        """Return the (A,) leader poses inside the followers' ranges [rad; gripper 0..1]."""
        assert self._leaders is not None
        return np.clip(self._leaders, self.safety.limits.lower, self.safety.limits.upper)

    def _advance(self) -> NDArray[np.float32]:
        """Return the (A,) target of this tick [rad; gripper 0..1]."""
        wanted = self._wanted()
        if self.phase == 'following':
            return wanted
        if self._cursor is None:
            self._cursor = self.safety.pose
        gap = wanted - self._cursor
        self._cursor = (self._cursor + np.clip(gap, -self._step, self._step)).astype(np.float32)
        if np.abs(gap).max() <= self._step:
            self.phase = 'following'
        return self._cursor

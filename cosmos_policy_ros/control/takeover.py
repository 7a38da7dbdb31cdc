# SPDX-License-Identifier: Apache-2.0
"""A policy acts, a person takes over with the leader arms and gives back; one safety for both.

Whoever leads, commands pass the same safety, and its pose goes on where the other one left it. The
person takes over where leaders and followers are near each other, and the followers come to the
leaders slowly before they follow. After giving back the arms hold until the policy has seen what
the person left, and its first chunk takes over slowly. Between the two, while the leaders are let
go or begin to hold, everything stands.

Source: HG-DAgger (arXiv:1810.02890): the person decides when to take over and when to give back.
Differs: leaders follow the followers until then (``ros/leaders.py``), so that nothing jumps.
"""

from __future__ import annotations

from cosmos_policy_ros.control.playback import Playback, PlaybackStats
from cosmos_policy_ros.control.teleop import Teleop
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.status import LedBy, Mode
from cosmos_policy_ros.types import ActionChunk, JointCommand
import numpy as np
from numpy.typing import NDArray

MAX_APART = 0.2  # [rad; gripper 0..1] between leader and follower where a person takes over


class Takeover:
    """Chunks or leader poses in, by who leads, one joint command per tick out; starts disabled.

    Attributes:
        safety: The last word on motion, whoever leads.
        mode: As ``Playback.mode``.
        led_by: Who leads: ``policy`` or ``person``; a fault or disabling ends a take-over.
        pause: Why all stand although somebody leads, until it is set to be empty.
    """

    def __init__(
        self,
        robot: RobotSpec,
        playback: Playback,
        approach_speed: float = 0.5,
        max_apart: float = MAX_APART,
    ) -> None:
        """Let leaders command through the safety of a playback; nothing moves before ``enable``.

        Args:
            robot: Robot of the playback, whose arms all have leaders.
            playback: What plays the chunks of the policy; it is disabled.
            approach_speed: As of ``Teleop``.
            max_apart: How far a leader may be from its follower where a person takes over, and
                where the followers come to it [rad; gripper 0..1].
        """
        self._playback, self.safety = playback, playback.safety
        self._teleop = Teleop(robot, approach_speed, None, self.safety, max_apart)
        self.mode: Mode = 'disabled'
        self.led_by: LedBy = 'policy'
        self.pause = ''

    @property
    def stats(self) -> PlaybackStats:
        """Figures of the chunks since enabling."""
        return self._playback.stats

    @property
    def reason(self) -> str:
        """Why the arms do not just follow who leads; empty when they do."""
        return self._teleop.reason if self.led_by == 'person' else self._playback.reason

    @property
    def intervenes(self) -> bool:
        """Whether the last command was where the hands of a person were."""
        followed = self.mode == 'playing' and self._teleop.phase == 'following'
        return self.led_by == 'person' and followed

    def enable(
        self, measured: NDArray[np.float32] | None, measured_age_s: float, now_ns: int
    ) -> None:
        """Allow motion, led by the policy; see ``Playback.enable``.

        Raises:
            ValueError: As ``Safety.enable``.
        """
        if self.safety.state != 'enabled':
            self._playback.enable(measured, measured_age_s, now_ns)
            self.led_by, self.pause = 'policy', ''

    def disable(self) -> None:
        """Send nothing more and forget chunks and take-over."""
        self._playback.disable()
        self._teleop.disable()
        self.mode, self.led_by, self.pause = 'disabled', 'policy', ''

    def add(self, chunk: ActionChunk, now_ns: int) -> None:
        """Let a chunk take over from the running one; see ``Playback.add``.

        Raises:
            ValueError: As there, or a person leads.
        """
        if self.led_by == 'person':
            msg = 'a person has taken over; the policy is to be asked again once they give back'
            raise ValueError(msg)
        self._playback.add(chunk, now_ns)

    def lead(self, leaders: NDArray[np.float32] | None, age_s: float) -> None:
        """Set the newest poses of the leader arms; see ``Teleop.lead``."""
        self._teleop.lead(leaders, age_s)

    def take_over(self, pause: str = '') -> None:
        """Let the person lead from the commanded pose on.

        Args:
            pause: Why all stand at first, as while the leaders are let go.

        Raises:
            ValueError: Motion is not enabled, or the leaders are missing, stale or too far away;
                whoever leads goes on.
        """
        if self.safety.state != 'enabled':
            msg = f'motion is not enabled (state {self.safety.state}); enable it first'
            raise ValueError(msg)
        self._teleop.join()
        self.led_by, self.pause = 'person', pause

    def give_back(self, now_ns: int) -> None:
        """Hold until a chunk comes that the policy was asked for from now on, and play it.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        if self.led_by == 'person':
            self._playback.begin(now_ns)
            self.led_by, self.pause = 'policy', ''

    def tick(
        self,
        measured: NDArray[np.float32] | None,
        measured_age_s: float,
        now_ns: int,
        n_periods: int = 1,
        hold_reason: str = '',
    ) -> JointCommand | None:
        """Return the command of one tick, or None while disabled; see ``Playback.tick``."""
        if self.safety.state != 'enabled':
            self.led_by, self.pause = 'policy', ''
        leading = self._teleop if self.led_by == 'person' else self._playback
        why = self.pause or hold_reason
        command = leading.tick(measured, measured_age_s, now_ns, n_periods, why)
        self.mode = leading.mode
        return command

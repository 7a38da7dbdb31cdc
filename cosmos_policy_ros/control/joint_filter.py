# SPDX-License-Identifier: Apache-2.0
"""Which measured poses of an arm are believed: those that follow from the ones before.

A driver may send a pose that is not the arm's: after a failed bus read, with values shifted
against their names, for one message or for good. While commands are sent a pose is believed only
where the arm can have got there since the last believed one, however long that is ago: a wrong
value grows old, and old joint states hold the arms. Only while nothing is sent a new pose is
believed that many messages agree on, since arms may be moved by hand and scenes reset.
"""

from __future__ import annotations

from collections import deque

from cosmos_policy_ros.align import implausible, Stamped
from cosmos_policy_ros.robot import ArmSpec
import numpy as np
from numpy.typing import NDArray

Pose = NDArray[np.float32]
AGREEING = 10  # messages in a row that make a new pose believed, or an arm one at rest …
AGREEING_NS = 200_000_000  # … over so long a time at least …
AGREEING_RAD = 0.02  # … within this [rad] …
REST_SPEED = 0.05  # … and no faster than this [rad/s]
SET_BACK_NS = 1_000_000_000  # a stamp as much older than the last means that a clock was set back
LONGEST_S = 0.1  # [s] for which a motion at full speed is believed that no message shows


class JointFilter:
    """The believed poses of one arm."""

    def __init__(self, arm: ArmSpec, longest_s: float = LONGEST_S) -> None:
        """Believe nothing yet.

        Args:
            arm: The arm's limits.
            longest_s: Longest time for which a motion at full speed is believed that no message
                shows [s]; infinity believes any pose after a while.
        """
        self._arm, self._longest_s = arm, longest_s
        self._newest: deque[Stamped[Pose]] = deque()  # well-formed messages, oldest first
        self.believed: Stamped[Pose] | None = None

    def add(self, stamp_ns: int, pose: Pose, trusting: bool) -> str | None:
        """Take a measured pose, or return why it is not believed.

        Args:
            stamp_ns: Time of the measurement [ns, ROS clock].
            pose: (size,) float32 [rad; gripper 0..1].
            trusting: Whether a pose elsewhere may be believed, as while nothing is sent.
        """
        topic = self._arm.joint_state_topic
        if reason := implausible(self._arm, pose, None, 0.0):
            return reason
        if self._newest and stamp_ns <= self._newest[-1].stamp_ns:
            if not trusting:
                return f'{topic}: stamp is not newer than the last'
            if self._newest[-1].stamp_ns - stamp_ns < SET_BACK_NS:
                return None
            self._newest.clear()  # a clock was set back
            self.believed = None
        self._newest.append(Stamped(stamp_ns, pose))
        while len(self._newest) > AGREEING and stamp_ns - self._newest[1].stamp_ns >= AGREEING_NS:
            self._newest.popleft()
        if self.believed is not None:
            dt_s = min((stamp_ns - self.believed.stamp_ns) * 1e-9, self._longest_s)
            reason = implausible(self._arm, pose, self.believed.value, max(dt_s, 0.0))
            if reason is not None and not (trusting and self._agrees()):
                return reason
        elif not self._agrees():
            return None  # too early to say
        self.believed = self._newest[-1]
        return None

    @property
    def received(self) -> bool:
        """Whether a well-formed message has come."""
        return bool(self._newest)

    def find_unrest(self, longest_gap_s: float) -> str:
        """Return why motion cannot start from the newest pose; empty when it can.

        Args:
            longest_gap_s: Mean time between messages that must not be exceeded [s].
        """
        topic, newest = self._arm.joint_state_topic, self._newest
        if not self._enough():
            return f'{topic} has sent {len(newest)} joint states; wait for {AGREEING} that agree'
        if self.believed is not newest[-1]:
            return f'{topic} sends poses that do not agree; disable, then see what it sends'
        span_s = (newest[-1].stamp_ns - newest[0].stamp_ns) * 1e-9
        if span_s / (len(newest) - 1) > longest_gap_s:
            rate_hz = (len(newest) - 1) / span_s
            return (
                f'{topic} comes at {rate_hz:.0f} Hz, at least {1.0 / longest_gap_s:.0f} are needed'
            )
        drift = np.abs(newest[-1].value - newest[0].value)[: len(self._arm.joints)]
        moved = np.maximum(self._spread() / AGREEING_RAD, drift / (REST_SPEED * span_s))
        if moved.max() >= 1.0:
            return f'{topic}: {self._arm.joints[int(moved.argmax())]} moves; keep the arm still'
        return ''

    def _enough(self) -> bool:
        """Whether there are messages enough to compare."""
        newest = self._newest
        return len(newest) >= AGREEING and newest[-1].stamp_ns - newest[0].stamp_ns >= AGREEING_NS

    def _agrees(self) -> bool:
        """Whether the newest messages show one pose."""
        return self._enough() and bool(self._spread().max() < AGREEING_RAD)

    def _spread(self) -> NDArray[np.float32]:
        """Return the (joints,) ranges of the newest messages [rad]."""
        poses = np.array([pose.value[: len(self._arm.joints)] for pose in self._newest])
        return poses.max(axis=0) - poses.min(axis=0)

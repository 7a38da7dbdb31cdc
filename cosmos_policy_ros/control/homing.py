# SPDX-License-Identifier: Apache-2.0
"""The slow way to the start pose that arms take while a person presses for it, and no longer.

Every press makes one short chunk, which ends at rest: along the way as it was begun for as long
as a press holds, then ever slower. The next press takes over before, so that arms under a finger
move evenly and those that are let go of come to rest by themselves, whatever becomes of the
network, the console or this process. A way begins at rest: a tap moves nothing.
"""

from __future__ import annotations

from cosmos_policy_ros.control.arm_motions import home_poses, trace
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ActionChunk
import numpy as np
from numpy.typing import NDArray

SPEED = 0.3  # [rad/s; gripper 1/s] of the fastest joint, as ``cosmos-policy arms home``
PRESS_S = 0.3  # [s] that a press holds; presses of one way come no farther apart
BRAKE_S = 0.3  # [s] from the end of the last press to rest
CLOSEST_S = 0.05  # [s] between two chunks
ASTRAY_RAD = 0.05  # [rad] from the way, as after a hold: another way begins where the arms are


class Homing:
    """Chunks towards the start pose, one for each press."""

    def __init__(self, robot: RobotSpec) -> None:
        """Start without a press.

        Args:
            robot: Robot with the start pose, at its control rate.
        """
        self._robot = robot
        self._time_s, self._positions = np.zeros(1), robot.start[None].astype(np.float64)
        self._begun_ns = self._pressed_ns = self._sent_ns = -(10**18)  # never

    def press(self, held: NDArray[np.float32], now_ns: int) -> ActionChunk | None:
        """Return the chunk for a press, None where the one before is as good.

        Args:
            held: (A,) float32 pose that is commanded now [rad; gripper 0..1].
            now_ns: Time now [ns, ROS clock].
        """
        since_s = (now_ns - self._pressed_ns) * 1e-9
        self._pressed_ns = now_ns
        if not 0.0 <= since_s <= PRESS_S or self._is_astray(held, now_ns):
            begin = held.astype(np.float64)
            poses = [begin, *home_poses(self._robot, begin)]
            self._time_s, self._positions = trace(poses, self._robot.control_rate_hz, SPEED)
            self._begun_ns = now_ns
        elif (now_ns - self._sent_ns) * 1e-9 < CLOSEST_S:
            return None
        self._sent_ns = now_ns
        return self._brake(now_ns)

    def _is_astray(self, held: NDArray[np.float32], now_ns: int) -> bool:
        """Return whether the arms are elsewhere than on the way."""
        gap = self._at(np.array([(now_ns - self._begun_ns) * 1e-9]))[0] - held
        return bool(np.abs(gap[self._robot.arm_joints]).max() > ASTRAY_RAD)

    def _at(self, on_way_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (R, A) poses at (R,) times since the way began [s]."""
        columns = [np.interp(on_way_s, self._time_s, column) for column in self._positions.T]
        return np.stack(columns, axis=1)

    def _brake(self, now_ns: int) -> ActionChunk:
        """Return the rows of the way from now on, at rest ``PRESS_S + BRAKE_S`` later."""
        rate_hz = self._robot.control_rate_hz
        ahead_s = np.arange(round((PRESS_S + BRAKE_S) * rate_hz) + 1) / rate_hz
        braking_s = np.clip(ahead_s - PRESS_S, 0.0, BRAKE_S)
        on_way_s = (now_ns - self._begun_ns) * 1e-9 + np.minimum(ahead_s, PRESS_S)
        on_way_s += braking_s - braking_s**2 / (2.0 * BRAKE_S)  # the way is gone ever slower
        return ActionChunk(now_ns, self._at(on_way_s).astype(np.float32), rate_hz)

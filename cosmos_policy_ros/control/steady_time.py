# SPDX-License-Identifier: Apache-2.0
"""The ROS clock as a time that cannot stand still.

With ``use_sim_time`` the ROS clock is what somebody sends on ``/clock``. When that ends, or never
began, nothing would grow old by it any more: no joint state, no image, no action chunk. So the
time goes on by the monotonic clock meanwhile, and how long that has been so is known.
"""

from __future__ import annotations

STANDS_S = 0.1  # [s] without a new time, after which a clock stands; simulators send one in 0.01 s
SET_BACK_NS = 100_000_000  # what goes back by less has only been overtaken here


class SteadyTime:
    """Time that goes on by the monotonic clock where the ROS clock does not."""

    def __init__(self, now_s: float) -> None:
        """Begin.

        Args:
            now_s: Now [s, monotonic].
        """
        self._ros_ns, self._since_s, self._told_ns = 0, now_s, 0

    def read(self, ros_ns: int, now_s: float) -> int:
        """Return the time now [ns, ROS clock].

        Args:
            ros_ns: What the ROS clock shows [ns].
            now_s: Now [s, monotonic].
        """
        if ros_ns != self._ros_ns:
            self._ros_ns, self._since_s = ros_ns, now_s
        time_ns = ros_ns + round((now_s - self._since_s) * 1e9)
        if 0 < self._told_ns - time_ns < SET_BACK_NS:
            time_ns = self._told_ns
        self._told_ns = time_ns
        return time_ns

    def standstill_s(self, now_s: float) -> float:
        """Return how long the ROS clock has not moved [s], 0 while it runs.

        Args:
            now_s: Now [s, monotonic].
        """
        stands_s = now_s - self._since_s
        return stands_s if stands_s > STANDS_S else 0.0

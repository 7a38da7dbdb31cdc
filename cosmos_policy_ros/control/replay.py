# SPDX-License-Identifier: Apache-2.0
"""Action chunks that play recorded joint commands again, after a slow way to their first pose.

The chunks overlap like the planner's and agree where they do, so the executor has no seam to blend
and plays on for a while when one comes late.
"""

from __future__ import annotations

import math

from cosmos_policy_ros.types import ActionChunk
import numpy as np
from numpy.typing import NDArray

CHUNK_S, STEP_S = 1.2, 0.4  # [s] length of a chunk, and from one to the next
SHORTEST_LEAD_S = 1.0  # [s] of the way to the first pose, however near it is
REST_S = 0.5  # [s] at the first pose, so that the arms stand when the recording begins
PEAK = 1.875  # highest over mean speed of a motion with the least jerk


def least_jerk(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which part of the way is covered after a share of the time, both from 0 to 1."""
    return share**3 * (10.0 + share * (6.0 * share - 15.0))


class Replay:
    """Recorded commands on a time axis that begins with the way to the first of them.

    Attributes:
        lead_s: When the first recorded command is due [s].
        total_s: When the last one is due [s].
    """

    def __init__(
        self,
        time_s: NDArray[np.float64],
        positions: NDArray[np.float64],
        measured: NDArray[np.float32],
        rate_hz: float,
        speed: float = 1.0,
        lead_speed: float = 0.5,
    ) -> None:
        """Lay out the way and the recording.

        Args:
            time_s: (S,) rising times of the recorded commands [s].
            positions: (S, A) recorded commands [rad; gripper 0..1].
            measured: (A,) float32 pose to start from [rad; gripper 0..1].
            rate_hz: Spacing of the rows of a chunk [Hz].
            speed: How fast to play; 1 as recorded, less is slower.
            lead_speed: Highest speed on the way [rad/s; gripper 1/s].
        """
        self._measured, self._rate_hz = measured.astype(np.float64), rate_hz
        self._positions = positions
        distance = float(np.abs(positions[0] - self._measured).max())
        way_s = max(SHORTEST_LEAD_S, PEAK * distance / lead_speed)
        self._way_s = math.ceil(way_s * rate_hz) / rate_hz  # rows meet the recorded commands
        self.lead_s = self._way_s + REST_S
        self._time_s = self.lead_s + (time_s - time_s[0]) / speed
        self.total_s = float(self._time_s[-1])

    @property
    def n_chunks(self) -> int:
        """Number of chunks from the measured pose to the last recorded command."""
        return max(0, math.ceil((self.total_s - CHUNK_S) / STEP_S)) + 1

    def at(self, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (R, A) targets at (R,) times; before and after, first and last pose.

        Args:
            time_s: (R,) times since the measured pose was left [s].

        Returns:
            (R, A) float64 targets [rad; gripper 0..1].
        """
        part = least_jerk(np.clip(time_s / self._way_s, 0.0, 1.0))[:, None]
        way = (1.0 - part) * self._measured + part * self._positions[0]
        columns = [np.interp(time_s, self._time_s, column) for column in self._positions.T]
        recorded = np.stack(columns, axis=1)
        return np.where(time_s[:, None] < self.lead_s, way, recorded)

    def chunk(self, number: int, start_ns: int) -> ActionChunk:
        """Return one of the chunks that overlap; chunk 0 begins at the measured pose.

        Args:
            number: Index of the chunk, below ``n_chunks``.
            start_ns: When the measured pose is left [ns, ROS clock].
        """
        first_s = number * STEP_S
        rows = first_s + np.arange(round(CHUNK_S * self._rate_hz)) / self._rate_hz
        stamp_ns = start_ns + round(first_s * 1e9)
        return ActionChunk(stamp_ns, self.at(rows).astype(np.float32), self._rate_hz)

    def errors(
        self, time_s: NDArray[np.float64], sent: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the (R, A) differences of sent commands to the recorded ones [rad; gripper 0..1].

        The way to the first recorded pose is left out.

        Args:
            time_s: (S,) times of the sent commands since the measured pose was left [s].
            sent: (S, A) sent commands [rad; gripper 0..1].
        """
        during = (time_s >= self.lead_s) & (time_s <= self.total_s)
        return sent[during] - self.at(time_s[during])

# SPDX-License-Identifier: Apache-2.0
"""What happens in an episode, as figures: answers, outcome and what the nodes report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.ros.convert import candidates_from_message, chunk_from_message
from cosmos_policy_ros.types import ActionChunk, Candidates
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

EXECUTOR, SIM = 'command_executor', 'sim'


class EpisodeLog:
    """Listen to one episode after the other.

    Attributes:
        success: What the simulator said last.
        success_ns: When it said so [ns, ROS clock]; 0 before.
        status: Node -> figures of its newest report, ``message`` among them.
    """

    def __init__(
        self,
        joints: Sequence[str],
        now_ns: Callable[[], int],
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        """Listen to nothing yet.

        Args:
            joints: Joint names in action order.
            now_ns: Returns the time now [ns, ROS clock].
            tell: Gets every answer: ``at_s`` since the start, ``query_ms`` from the query to the
                chunk, ``values`` of the N candidates, ``best`` the one that is played.
        """
        self.success, self.success_ns = False, 0
        self.status: dict[str, dict[str, str]] = {}
        self._joints, self._now_ns, self._tell = joints, now_ns, tell
        self.start(0)

    def start(self, start_ns: int) -> None:
        """Begin an episode [ns, ROS clock]."""
        self._start_ns = start_ns
        self._success_since_ns: int | None = None
        self._queries, self._answers, self._fault = 0, 0, ''
        self._slowest = 1.0  # real-time factor
        self._value, self._query_ms = float('nan'), float('nan')
        self._candidates: dict[int, list[Candidates]] = {}  # by stamp of the query
        self._chunks: dict[int, tuple[ActionChunk, float]] = {}  # and the latency [ms]

    def on_success(self, message: Bool) -> None:
        """Take the simulator's verdict."""
        self.success, self.success_ns = message.data, self._now_ns()
        if not message.data:
            self._success_since_ns = None
        elif self._success_since_ns is None:
            self._success_since_ns = self.success_ns

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        """Take a node's report."""
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self.status[status.name] = {'message': status.message, **values}
            if status.name == EXECUTOR and values['state'] == 'fault':
                self._fault = values['reason']
            if status.name == SIM:
                self._slowest = min(self._slowest, float(values['real_time_factor']))

    def on_query(self, message: JointTrajectory) -> None:
        """Count a query."""
        self._queries += stamp_of(message) >= self._start_ns

    def on_candidates(self, message: PointCloud2) -> None:
        """Take the candidates of an inference node."""
        candidates, _ = candidates_from_message(message, self._joints)
        self._candidates.setdefault(candidates.stamp_ns, []).append(candidates)
        self._match(candidates.stamp_ns)

    def on_chunk(self, message: JointTrajectory) -> None:
        """Take the planner's choice."""
        chunk = chunk_from_message(message, self._joints)
        self._chunks[chunk.stamp_ns] = chunk, (self._now_ns() - chunk.stamp_ns) * 1e-6
        self._match(chunk.stamp_ns)

    def progress(self) -> dict[str, Any]:
        """Return the figures of this moment."""
        executor = self.status.get(EXECUTOR, {})
        return {
            'seconds': self._seconds(self._now_ns()),
            'answers': self._answers,
            'value': _number(self._value),
            'query_ms': _number(self._query_ms),
            'standstill_s': float(executor.get('standstill_s', 'nan')),
            'late_ms_p99': _number(float(executor.get('late_ms_p99', 'nan'))),
            'deadline_misses': int(executor.get('deadline_misses', 0)),
            'state': executor.get('mode', 'unknown'),
            'reason': executor.get('reason', ''),
            'success': self.success,
        }

    def is_disabled(self) -> bool:
        """Whether the executor reported that nothing is sent any more."""
        return self.status.get(EXECUTOR, {}).get('state') == 'disabled'

    def verdict(self) -> dict[str, Any]:
        """Return whether the task is done now and since when it has been."""
        since_ns = self._success_since_ns
        since_s = None if since_ns is None else self._seconds(since_ns)
        return {'success': self.success, 'success_at_s': since_s}

    def summary(self) -> dict[str, Any]:
        """Return the figures of the episode; call it when the executor is disabled again."""
        executor = self.status[EXECUTOR]
        return {
            'queries': self._queries,
            'answers': self._answers,
            'standstill_s': float(executor['standstill_s']),
            'seam_jump_rad_max': float(executor['seam_jump_rad_max']),
            'interventions': int(executor['interventions']),
            'chunks_refused': int(executor['chunks_refused']),
            'control_late_ms_p99': float(executor['late_ms_p99']),
            'real_time_factor_min': self._slowest,
            'camera_hz': float(self.status[SIM]['camera_hz']),
            'fault': self._fault,
        }

    def _seconds(self, stamp_ns: int) -> float:
        return round((stamp_ns - self._start_ns) * 1e-9, 3)

    def _match(self, stamp_ns: int) -> None:
        """Tell which of the candidates was chosen once candidates and choice are here."""
        if stamp_ns not in self._candidates or stamp_ns not in self._chunks:
            return
        candidates = self._candidates.pop(stamp_ns)
        chunk, latency_ms = self._chunks.pop(stamp_ns)
        if stamp_ns < self._start_ns:
            return
        positions = np.concatenate([c.positions for c in candidates])
        values = np.concatenate([c.values.mean(axis=1) for c in candidates])
        best = int(np.abs(positions - chunk.positions).max(axis=(1, 2)).argmin())
        self._answers += 1
        self._value, self._query_ms = float(values[best]), latency_ms
        self._tell(
            {
                'at_s': self._seconds(stamp_ns),
                'query_ms': round(latency_ms, 2),
                'values': [round(float(v), 4) for v in values],
                'best': best,
            }
        )


def _number(value: float) -> float | None:
    """Return a number that JSON knows."""
    return None if np.isnan(value) else round(value, 4)

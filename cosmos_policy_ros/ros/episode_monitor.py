# SPDX-License-Identifier: Apache-2.0
"""One episode in figures while it runs: answers of the policy, outcome, status of the nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import math
from typing import Any

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.ros.convert import candidates_from_message, chunk_from_message
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.status import (
    ExecutorStatus,
    InferenceStatus,
    PlannerStatus,
    RecorderStatus,
    SimStatus,
)
from cosmos_policy_ros.topics import (
    EXECUTOR_STATUS,
    INFERENCE_STATUS,
    PLANNER_STATUS,
    RECORDER_STATUS,
    SIM_STATUS,
    SUCCESS,
)
from cosmos_policy_ros.types import ActionChunk, Candidates, find_played
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory


class EpisodeMonitor:
    """Follow one episode after the other.

    Attributes:
        success: Newest verdict of the simulator.
        success_ns: When it arrived [ns, ROS clock]; 0 before.
        executor: Newest status of the command executor, None before the first.
        recorder: Newest status of the recorder, None before the first.
        sim: Newest status of the simulator, None before the first.
    """

    def __init__(
        self,
        node: Node,
        joints: Sequence[str],
        on_answer: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Subscribe to the verdict and to the status of the nodes.

        Queries, candidates and chunks are for ``on_query``, ``on_candidates`` and ``on_chunk``,
        for a node that has subscribed to them already.

        Args:
            node: Node that owns the subscriptions.
            joints: Joint names in action order.
            on_answer: Called with every answer: ``at_s`` since the start, ``query_ms`` from the
                query to the chunk, ``values`` of the N candidates, ``best`` the one that is
                played; ``steps_used`` the fewest denoising steps, ``depth_used`` the least depth
                and ``budget_ms`` the shortest time of the inference nodes that answered, None
                where they said nothing of it;
                ``committed_rows`` of the query, ``passed_rows``, which had passed when the
                chunk came, and ``image_ages_ms`` at the query.
        """
        self.success, self.success_ns = False, 0
        self.executor: ExecutorStatus | None = None
        self.recorder: RecorderStatus | None = None
        self.sim: SimStatus | None = None
        self._planner = PlannerStatus(active=False)
        self._clock, self._joints, self._on_answer = node.get_clock(), joints, on_answer
        self.start(0)
        create_subscription(node, SUCCESS, self.on_success)
        subscribe_status(node, INFERENCE_STATUS, InferenceStatus, self.on_inference)
        subscribe_status(node, PLANNER_STATUS, PlannerStatus, self.on_planner)
        subscribe_status(node, EXECUTOR_STATUS, ExecutorStatus, self.on_executor)
        subscribe_status(node, RECORDER_STATUS, RecorderStatus, self.on_recorder)
        subscribe_status(node, SIM_STATUS, SimStatus, self.on_sim)

    def start(self, start_ns: int) -> None:
        """Begin an episode [ns, ROS clock]."""
        self._start_ns = start_ns
        self._success_since_ns: int | None = None
        self._queries, self._answers, self._fault = 0, 0, ''
        self._slowest = 1.0  # real-time factor
        self._value, self._query_ms = float('nan'), float('nan')
        self._seam_jumps_rad: list[float] = []
        self._chunks_played = 0
        self._choices_before = self._planner.choices
        # by stamp of the query
        self._asked: dict[int, tuple[int, Sequence[float]]] = {}  # committed rows, image ages [s]
        self._candidates: dict[int, list[Candidates]] = {}
        self._used: dict[int, list[InferenceStatus]] = {}
        self._chunks: dict[int, tuple[ActionChunk, float]] = {}  # and the latency [ms]

    def on_success(self, message: Bool) -> None:
        """Take the simulator's verdict."""
        self.success, self.success_ns = message.data, self._now_ns()
        if not message.data:
            self._success_since_ns = None
        elif self._success_since_ns is None:
            self._success_since_ns = self.success_ns

    def on_executor(self, status: ExecutorStatus) -> None:
        """Take a status of the command executor; keep why it faulted, and its seam jumps.

        Two chunks that come between two reports are one jump here, the later one.
        """
        self.executor = status
        if status.chunks > max(self._chunks_played, 1):  # the first takes over from none
            self._seam_jumps_rad.append(round(status.seam_jump_rad, 4))
        self._chunks_played = status.chunks
        if status.state == 'fault':
            self._fault = status.reason

    def on_inference(self, status: InferenceStatus) -> None:
        """Take what an inference node had time for; it comes once a second too."""
        self._used = {s: u for s, u in self._used.items() if s >= self._start_ns}
        self._used.setdefault(status.stamp_ns, []).append(status)

    def on_planner(self, status: PlannerStatus) -> None:
        """Take a status of the planner."""
        self._planner = status

    def on_recorder(self, status: RecorderStatus) -> None:
        """Take a status of the recorder."""
        self.recorder = status

    def on_sim(self, status: SimStatus) -> None:
        """Take a status of the simulator."""
        self.sim = status
        self._slowest = min(self._slowest, status.real_time_factor)

    def on_query(self, message: JointTrajectory, image_ages_s: Sequence[float] = ()) -> None:
        """Count a query, and keep how many rows it commits to.

        Args:
            message: The query.
            image_ages_s: Ages of the images that it is about, one for each camera [s].
        """
        stamp_ns = stamp_of(message)
        self._queries += stamp_ns >= self._start_ns
        self._asked[stamp_ns] = len(message.points), image_ages_s

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

    def is_disabled(self) -> bool:
        """Whether the executor reported that nothing is sent any more."""
        return self.executor is not None and self.executor.state == 'disabled'

    def progress(self) -> dict[str, Any]:
        """Return the figures of this moment, for an event of progress."""
        executor = self.executor or ExecutorStatus('disabled', 'disabled')
        return {
            'seconds': self._seconds(self._now_ns()),
            'answers': self._answers,
            'value': _number(self._value),
            'query_ms': _number(self._query_ms),
            'standstill_s': round(executor.standstill_s, 3),
            'late_ms_p99': _number(executor.late_ms_p99),
            'deadline_misses': executor.deadline_misses,
            'state': executor.mode,
            'reason': executor.reason,
            'success': self.success,
        }

    def verdict(self) -> dict[str, Any]:
        """Return whether the task is done now and since when it has been."""
        since_ns = self._success_since_ns
        since_s = None if since_ns is None else self._seconds(since_ns)
        return {'success': self.success, 'success_at_s': since_s}

    def summary(self) -> dict[str, Any]:
        """Return the figures of the episode; call it when the executor is disabled again."""
        assert self.sim is not None
        return {
            **self.figures(),
            'real_time_factor_min': round(self._slowest, 3),
            'camera_hz': round(self.sim.camera_hz, 1),
        }

    def figures(self) -> dict[str, Any]:
        """Return those that real robots have too; call it when the executor is disabled again."""
        executor = self.executor
        assert executor is not None
        return {
            'queries': self._queries,
            'answers': self._answers,
            'choices': self._planner.choices - self._choices_before,
            'standstill_s': round(executor.standstill_s, 3),
            'seam_jump_rad_max': round(executor.seam_jump_rad_max, 4),
            'seam_jumps_rad': self._seam_jumps_rad,
            'interventions': executor.interventions,
            'intervention_reasons': dict(executor.intervention_reasons),
            'chunks_refused': executor.chunks_refused,
            'control_late_ms_p99': round(executor.late_ms_p99, 3),
            'fault': self._fault,
        }

    def _now_ns(self) -> int:
        return self._clock.now().nanoseconds

    def _seconds(self, stamp_ns: int) -> float:
        """Return a time since the start of the episode [s]."""
        return round((stamp_ns - self._start_ns) * 1e-9, 3)

    def _match(self, stamp_ns: int) -> None:
        """Report which of the candidates was chosen once candidates and choice are here."""
        if stamp_ns not in self._candidates or stamp_ns not in self._chunks:
            return
        candidates = self._candidates.pop(stamp_ns)
        chunk, latency_ms = self._chunks.pop(stamp_ns)
        used = self._used.pop(stamp_ns, [])
        if stamp_ns < self._start_ns:
            return
        values = np.concatenate([c.mean_values for c in candidates])
        best, _ = find_played(candidates, chunk.positions)
        if best is None:  # of another policy
            return
        self._answers += 1
        self._value, self._query_ms = float(values[best]), latency_ms
        if self._on_answer is None:
            return
        committed_rows, image_ages_s = self._asked.pop(stamp_ns, (0, ()))
        self._on_answer(
            {
                'at_s': self._seconds(stamp_ns),
                'query_ms': round(latency_ms, 2),
                'values': [_number(float(v)) for v in values],
                'best': best,
                'steps_used': min((u.steps_used for u in used), default=None),
                'depth_used': min((u.depth_used for u in used), default=None),
                'budget_ms': _budget_ms(used),
                'committed_rows': committed_rows,
                'passed_rows': math.ceil(latency_ms * 1e-3 * chunk.rate_hz),
                'image_ages_ms': [round(age_s * 1e3, 1) for age_s in image_ages_s],
            }
        )


def _budget_ms(used: Sequence[InferenceStatus]) -> float | None:
    """Return the shortest time that inference nodes had [ms]; None where none was in a hurry."""
    budgets = [u.budget_s for u in used if not np.isnan(u.budget_s)]
    return round(min(budgets) * 1e3, 1) if budgets else None


def _number(value: float) -> float | None:
    """Return a number that JSON knows."""
    return None if np.isnan(value) else round(value, 4)

# SPDX-License-Identifier: Apache-2.0
"""Asks for candidates while the arms move and sends the best one to the executor.

Row 0 of an answer is due at the stamp of its query, so the rows that pass while the networks think
are skipped by the executor. Answers of several inference nodes to one query are merged: who
answered the last one, in time or late, is waited for, but not longer than ``merge_s``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.control.pacing import Pacer
from cosmos_policy_ros.core.planner import aggregate, make_plan, select
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import (
    candidates_from_message,
    chunk_message,
    trajectory_message,
)
from cosmos_policy_ros.ros.diagnostics import Diagnostics
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.types import ActionChunk, Candidates, ConfigError, Plan
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

TICK_HZ = 100.0  # how fine the time of a query is
QUERY = 'policy/query'
CANDIDATES = 'policy/candidates'
CHUNK = 'policy/action_chunk'
Answer = tuple[Candidates, float]  # and the rate of its rows [Hz]


@dataclass(frozen=True)
class PlannerParams:
    """Parameters of the planner node."""

    robot: str = param('', 'Robot YAML.')
    replan_s: float = param(0.8, 'Time from one query to the next [s].', 0.02, 60.0)
    margin_s: float = param(0.2, 'Rows left when an answer comes at the latest [s].', 0.0, 10.0)
    timeout_s: float = param(0.5, 'Shortest wait before a query is given up [s].', 0.1, 60.0)
    merge_s: float = param(0.1, 'Wait for the other inference nodes [s].', 0.0, 10.0)
    aggregation: str = param('majority_mean', 'Rule that makes one score of all values.')
    selection: str = param('reference', 'Rule that chooses by score.')
    discovery_s: float = param(3.5, 'Search for a second stack before starting [s].', 0.0, 30.0)


class PlannerNode(Node):
    """Ask, choose, publish."""

    def __init__(self) -> None:
        """Open the topics; nothing is asked before ``planner/activate``.

        Raises:
            ConfigError: The robot file is wrong, a rule does not exist, or another planner runs.
        """
        super().__init__('planner')
        self.params = p = declare(self, PlannerParams)
        self.robot = read_robot(Path(p.robot))
        self._pacer = Pacer(p.replan_s, p.margin_s, p.timeout_s)
        _check_rules(p)
        self._chunk: ActionChunk | None = None
        self._newest_ns = 0  # answers to queries up to here are too late
        self._answers: dict[int, list[Answer]] = {}  # by stamp of the query
        self._merge_until_ns: dict[int, int] = {}
        self._n_expected = 0  # answers to the last query, those too late for it included
        self._n_merged, self._n_most = 0, 0  # answers in the last plan; most since the activation
        self._plan: Plan | None = None
        self._trouble = ''

        refuse_second_stack(self, [QUERY, CHUNK], p.discovery_s)
        self._queries = self.create_publisher(JointTrajectory, QUERY, QoSProfile(depth=1))
        self._chunks = self.create_publisher(JointTrajectory, CHUNK, QoSProfile(depth=1))
        self._diagnostics = Diagnostics(self, 'planner')
        self.create_subscription(PointCloud2, CANDIDATES, self._on_candidates, 10)
        self.create_service(SetBool, 'planner/activate', self._on_activate)
        self.create_timer(1.0 / TICK_HZ, self._tick)
        self.create_timer(1.0, self._report)
        self.get_logger().info(
            f'asking every {p.replan_s} s once activated; best of N by {p.aggregation}, '
            f'{p.selection}'
        )

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_activate(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        """Start or stop asking."""
        response.success = True
        self._chunk, self._newest_ns = None, self._now_ns()
        self._answers.clear()
        self._merge_until_ns.clear()
        self._n_expected = self.count_publishers(CANDIDATES)
        self._n_merged = self._n_most = 0
        if not request.data:
            self._pacer.stop()
            response.message = 'not asking any more'
        elif self.count_publishers(CANDIDATES):
            self._pacer.start()
            response.message = f'asking every {self.params.replan_s} s'
        else:
            response.success = False
            response.message = f'nobody publishes {CANDIDATES}; start an inference node'
        self.get_logger().info(response.message)
        return response

    def _tick(self) -> None:
        """Ask when it is time; decide when the other inference nodes had theirs."""
        now_ns = self._now_ns()
        for stamp_ns in sorted(self._answers):
            if now_ns >= self._merge_until_ns[stamp_ns]:
                self._decide(stamp_ns)
        if self._pacer.due(now_ns):
            self._ask(now_ns)

    def _ask(self, now_ns: int) -> None:
        """Send a query that tells which rows are still to be played."""
        rows, rate_hz, first_s = np.zeros((0, self.robot.size), np.float32), 1.0, 0.0
        if self._chunk is not None:
            rate_hz = self._chunk.rate_hz
            passed = (now_ns - self._chunk.stamp_ns) * 1e-9 * rate_hz
            rows = self._chunk.positions[int(np.ceil(passed)) :]
            first_s = (np.ceil(passed) - passed) / rate_hz
        message = trajectory_message(now_ns, rows, rate_hz, self.robot.joint_names, first_s)
        self._pacer.asked(now_ns)
        self._queries.publish(message)

    def _on_candidates(self, message: PointCloud2) -> None:
        """Keep an answer until all inference nodes had their time."""
        try:
            candidates, rate_hz = candidates_from_message(message, self.robot.joint_names)
        except ValueError as error:
            self._warn(str(error))
            return
        stamp_ns = candidates.stamp_ns
        if not self._pacer.active or stamp_ns <= self._newest_ns:
            self._n_expected += stamp_ns == self._newest_ns
            self._n_most = max(self._n_most, self._n_expected)
            return
        answers = self._answers.setdefault(stamp_ns, [])
        if answers and not _fits(answers[0], (candidates, rate_hz)):
            self._warn('inference nodes answer with different horizons, values or rates')
            return
        if not answers:
            self._merge_until_ns[stamp_ns] = self._now_ns() + round(self.params.merge_s * 1e9)
        answers.append((candidates, rate_hz))
        # one that was killed publishes on paper for 20 s more
        if len(answers) >= min(self._n_expected, self.count_publishers(CANDIDATES)):
            self._decide(stamp_ns)

    def _decide(self, stamp_ns: int) -> None:
        """Publish the best of all candidates for one query."""
        answers = self._answers[stamp_ns]
        merged = Candidates(
            stamp_ns,
            np.concatenate([c.positions for c, _ in answers]),
            np.concatenate([c.values for c, _ in answers]),
            np.concatenate([c.future_proprio for c, _ in answers]),
        )
        rate_hz = answers[0][1]
        p = self.params
        self._plan = make_plan(merged, rate_hz, p.aggregation, p.selection)
        self._chunk = self._plan.chunk
        self._newest_ns = stamp_ns
        for old_ns in [s for s in self._answers if s <= stamp_ns]:
            del self._answers[old_ns], self._merge_until_ns[old_ns]
        self._chunks.publish(chunk_message(self._chunk, self.robot.joint_names))
        end_ns = stamp_ns + round((len(self._chunk.positions) - 1) / rate_hz * 1e9)
        self._pacer.answered(stamp_ns, self._now_ns(), end_ns)
        self._trouble = ''
        self._count(len(answers))
        self._report()

    def _count(self, n_answers: int) -> None:
        """Tell when an inference node falls silent or comes back."""
        before, self._n_merged, self._n_expected = self._n_merged, n_answers, n_answers
        self._n_most = max(self._n_most, n_answers)
        if n_answers < before:
            self.get_logger().warning(self._describe_missing())
        elif 0 < before < n_answers:
            self.get_logger().info(f'{n_answers} inference nodes answer')

    def _describe_missing(self) -> str:
        """Return how many inference nodes answer, empty when all do."""
        if self._n_merged == self._n_most:
            return ''
        return f'{self._n_merged} of {self._n_most} inference nodes answered in time'

    def _warn(self, trouble: str) -> None:
        """Tell of an answer that cannot be used, once until one can."""
        if trouble != self._trouble:
            self.get_logger().warning(f'candidates ignored: {trouble}')
        self._trouble = trouble

    def _report(self) -> None:
        """Publish what is asked, how long answers take and what was chosen."""
        now_ns = self._now_ns()
        waiting_s = self._pacer.waiting_s(now_ns)
        late = waiting_s > self.params.timeout_s
        state = 'asking' if self._pacer.active else 'not activated'
        silent = f'no answer for {waiting_s:.1f} s; see the status of the inference node'
        trouble = self._trouble or self._describe_missing()
        scores = [] if self._plan is None else self._plan.scores.tolist()
        self._diagnostics.publish(
            'warn' if late or trouble else 'ok',
            silent if late else trouble or state,
            queries=self._pacer.n_queries,
            unanswered=self._pacer.n_unanswered,
            answers_merged=self._n_merged,
            query_ms_p50=f'{self._pacer.latency_s(50.0) * 1e3:.1f}',
            query_ms_p99=f'{self._pacer.latency_s(99.0) * 1e3:.1f}',
            value='' if self._plan is None else f'{scores[self._plan.best]:.3f}',
            best='' if self._plan is None else self._plan.best,
            scores=' '.join(f'{score:.3f}' for score in scores),
        )


def _fits(first: Answer, other: Answer) -> bool:
    """Whether two nodes' answers can be merged."""
    shapes = [(c.positions.shape[1:], c.values.shape[1], rate) for c, rate in (first, other)]
    return shapes[0] == shapes[1]


def _check_rules(params: PlannerParams) -> None:
    """Refuse rules that do not exist.

    Raises:
        ConfigError: One does not.
    """
    try:
        select(aggregate(np.zeros((1, 1), np.float32), params.aggregation), params.selection)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(PlannerNode)


if __name__ == '__main__':
    main()

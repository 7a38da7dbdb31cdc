# SPDX-License-Identifier: Apache-2.0
"""Queries the policy while the arms move and sends the best candidate to the executor.

Row 0 of an answer is due at the stamp of its query, so the rows that pass while the networks
compute are skipped by the executor. Answers of several inference nodes to one query are merged
(``control/merging.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.control.chunk_player import remaining_rows
from cosmos_policy_ros.control.merging import CandidateMerger, Merged
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
from cosmos_policy_ros.ros.endpoints import create_publisher, create_service, create_subscription
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.topics import ACTION_CHUNK, ACTIVATE, CANDIDATES, QUERY
from cosmos_policy_ros.types import ActionChunk, ConfigError, Plan
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import SetBool

TICK_HZ = 100.0  # how fine the time of a query is


@dataclass(frozen=True)
class PlannerParams:
    """Parameters of the planner node."""

    robot: str = param('', 'Robot YAML file; the launch file sets it.')
    replan_s: float = param(
        0.8,
        'Time from one query to the next [s]; a shorter one reacts faster and computes more.',
        0.02,
        60.0,
    )
    margin_s: float = param(
        0.2,
        'How much longer than the slowest answer the running chunk must last [s]; 0 risks '
        'that the arms wait.',
        0.0,
        10.0,
    )
    timeout_s: float = param(
        0.5,
        'Shortest time before an unanswered query is repeated [s]; 1.5 times the slowest '
        'latency if that is longer.',
        0.1,
        60.0,
    )
    merge_s: float = param(
        0.1, 'How long further inference nodes may take after the first answer [s].', 0.0, 10.0
    )
    aggregation: str = param(
        'majority_mean',
        'Rule that makes one score of all values: average, lcb, success_vote or majority_mean.',
    )
    selection: str = param(
        'reference',
        'reference leaves candidate 0 only for one with a better score; argmax takes the best.',
    )
    discovery_s: float = param(
        3.5,
        'How long to search for another source of chunks [s]; a shorter time may overlook one.',
        0.0,
        30.0,
    )


class PlannerNode(Node):
    """Query, choose, publish."""

    def __init__(self) -> None:
        """Open the topics; no query leaves before ``planner/activate``.

        Raises:
            ConfigError: The robot file is wrong, a rule does not exist, or another planner runs.
        """
        super().__init__('planner')
        self.params = p = declare(self, PlannerParams)
        self.robot = read_robot(Path(p.robot))
        self._pacer = Pacer(p.replan_s, p.margin_s, p.timeout_s)
        _check_rules(p)
        self._chunk: ActionChunk | None = None
        self._merger = CandidateMerger(p.merge_s)
        self._plan: Plan | None = None
        self._trouble = ''

        refuse_second_stack(self, [QUERY.ros_name, ACTION_CHUNK.ros_name], p.discovery_s)
        self._queries = create_publisher(self, QUERY)
        self._chunks = create_publisher(self, ACTION_CHUNK)
        self._diagnostics = Diagnostics(self, 'planner')
        create_subscription(self, CANDIDATES, self._on_candidates)
        create_service(self, ACTIVATE, self._on_activate)
        self.create_timer(1.0 / TICK_HZ, self._tick)
        self.create_timer(1.0, self._report)
        self.get_logger().info(
            f'a query every {p.replan_s} s once activated; best of N by {p.aggregation}, '
            f'{p.selection}'
        )

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_activate(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        """Start or stop sending queries."""
        response.success = True
        n_publishers = self.count_publishers(CANDIDATES.ros_name)
        self._chunk = None
        self._merger.start(self._now_ns(), n_publishers)
        if not request.data:
            self._pacer.stop()
            response.message = 'no more queries'
        elif n_publishers:
            self._pacer.start()
            response.message = f'a query every {self.params.replan_s} s'
        else:
            response.success = False
            response.message = f'nobody publishes {CANDIDATES.ros_name}; start an inference node'
        self.get_logger().info(response.message)
        return response

    def _tick(self) -> None:
        """Send a query when it is time; decide when the other inference nodes have had theirs."""
        now_ns = self._now_ns()
        while merged := self._merger.take_due(now_ns):
            self._decide(merged)
        if self._pacer.due(now_ns):
            self._send_query(now_ns)

    def _send_query(self, now_ns: int) -> None:
        """Send a query with the rows that are still to be played."""
        rows, rate_hz, first_s = np.zeros((0, self.robot.size), np.float32), 1.0, 0.0
        if self._chunk is not None:
            rate_hz = self._chunk.rate_hz
            rows, first_s = remaining_rows(self._chunk, now_ns)
        message = trajectory_message(now_ns, rows, rate_hz, self.robot.joint_names, first_s)
        self._pacer.note_query(now_ns)
        self._queries.publish(message)

    def _on_candidates(self, message: PointCloud2) -> None:
        """Take an answer; decide unless other inference nodes are waited for."""
        try:
            candidates, rate_hz = candidates_from_message(message, self.robot.joint_names)
            if not self._pacer.active:
                return
            n_publishers = self.count_publishers(CANDIDATES.ros_name)
            merged = self._merger.add(candidates, rate_hz, self._now_ns(), n_publishers)
        except ValueError as error:
            self._warn(str(error))
            return
        if merged is not None:
            self._decide(merged)

    def _decide(self, merged: Merged) -> None:
        """Publish the best of all candidates for one query."""
        p, rate_hz, stamp_ns = self.params, merged.rate_hz, merged.candidates.stamp_ns
        self._plan = make_plan(merged.candidates, rate_hz, p.aggregation, p.selection)
        self._chunk = self._plan.chunk
        self._chunks.publish(chunk_message(self._chunk, self.robot.joint_names))
        end_ns = stamp_ns + round((len(self._chunk.positions) - 1) / rate_hz * 1e9)
        self._pacer.note_answer(stamp_ns, self._now_ns(), end_ns)
        self._trouble = ''
        if merged.n_answers < merged.n_before:
            self.get_logger().warning(self._merger.shortfall)
        elif 0 < merged.n_before < merged.n_answers:
            self.get_logger().info(f'{merged.n_answers} inference nodes answer')
        self._report()

    def _warn(self, trouble: str) -> None:
        """Log why an answer cannot be used, once until one can."""
        if trouble != self._trouble:
            self.get_logger().warning(f'candidates ignored: {trouble}')
        self._trouble = trouble

    def _report(self) -> None:
        """Publish the pace of queries, the latency of their answers and the choice."""
        now_ns = self._now_ns()
        waiting_s = self._pacer.waiting_s(now_ns)
        late = waiting_s > self.params.timeout_s
        state = 'querying' if self._pacer.active else 'not activated'
        silent = f'no answer for {waiting_s:.1f} s; see the status of the inference node'
        trouble = self._trouble or self._merger.shortfall
        scores = [] if self._plan is None else self._plan.scores.tolist()
        self._diagnostics.publish(
            'warn' if late or trouble else 'ok',
            silent if late else trouble or state,
            queries=self._pacer.n_queries,
            unanswered=self._pacer.n_unanswered,
            answers_merged=self._merger.n_merged,
            query_ms_p50=f'{self._pacer.latency_s(50.0) * 1e3:.1f}',
            query_ms_p99=f'{self._pacer.latency_s(99.0) * 1e3:.1f}',
            value='' if self._plan is None else f'{scores[self._plan.best]:.3f}',
            best='' if self._plan is None else self._plan.best,
            scores=' '.join(f'{score:.3f}' for score in scores),
        )


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

# SPDX-License-Identifier: Apache-2.0
"""Two inference nodes answer one query; when one dies, candidates are lost and motion is not.

Real processes and the committed checkpoint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.ros.convert import candidates_from_message
from cosmos_policy_ros.types import Candidates
import rclpy
from ros_domains import ros_domain
from sensor_msgs.msg import PointCloud2
from test_interruptions import Bench, ROBOT, VALUES

pytestmark = pytest.mark.slow
N = 2  # candidates of each


class Merged:
    """A stack with two inference nodes, and what the planner makes of their answers."""

    def __init__(self, bench: Bench) -> None:
        """Listen to the candidates."""
        self.bench = bench
        self.answers: dict[int, list[Candidates]] = defaultdict(list)  # by stamp of the query
        subscribe = bench.node.create_subscription
        subscribe(PointCloud2, '/policy/candidates', self._on_candidates, 10)

    def _on_candidates(self, message: PointCloud2) -> None:
        candidates, _ = candidates_from_message(message, ROBOT.joint_names)
        self.answers[candidates.stamp_ns].append(candidates)

    def wait_for_plans(self, answers: int, times: int = 3) -> None:
        """Wait until plans were made from so many answers."""
        self.bench.forget()
        self.bench.wait(lambda: self._plans(answers) >= times, 60.0)

    def _plans(self, answers: int) -> int:
        """Return how many plans had that many answers and N scores for each."""
        told = [figures for _, _, figures in self.bench.reports['planner']]
        merged = [f for f in told if int(f['answers_merged']) == answers]
        return len({f['queries'] for f in merged if len(f['scores'].split()) == answers * N})


@pytest.fixture(scope='module')
def merged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Merged]:
    """Return the stack in the middle of an episode, in a ROS domain of its own."""
    with ros_domain():
        rclpy.init()
        values = VALUES | {'device': 'cpu,cpu', 'candidates': N}
        bench = Bench(tmp_path_factory.mktemp('logs'), values)
        merged = Merged(bench)
        bench.wait(lambda: bench.node.count_publishers('/policy/candidates') == 2, 180.0)
        bench.play(seed=100000)
        yield merged
        bench.stop()
        rclpy.shutdown()


def test_candidates_of_both_are_merged(merged: Merged) -> None:
    """2N scores a plan, and no candidate of one is a candidate of the other."""
    merged.wait_for_plans(answers=2)
    first, second = next(a for a in merged.answers.values() if len(a) == 2)
    rows = np.concatenate([first.positions, second.positions])
    assert len(np.unique(rows, axis=0)) == 2 * N


def test_one_that_is_killed_costs_its_candidates_only(merged: Merged) -> None:
    """The arms move on with the plans of the other; a new one is merged again."""
    bench = merged.bench
    bench.kill('inference_2')
    merged.wait_for_plans(answers=1)
    assert bench.has_said('planner', '1 of 2 inference nodes answered in time')
    assert {figures['state'] for _, _, figures in bench.reports['command_executor']} == {'enabled'}
    bench.wait(lambda: bench.mode() == 'playing')
    bench.wait(lambda: not bench.still())

    bench.start('inference_2')
    merged.wait_for_plans(answers=2, times=1)

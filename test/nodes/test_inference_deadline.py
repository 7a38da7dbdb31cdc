# SPDX-License-Identifier: Apache-2.0
"""A query with committed rows is answered before they end, with what there is time for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.core.query_budget import QueryBudget
from cosmos_policy_ros.nodes import inference_node
from cosmos_policy_ros.types import Observation
import rclpy
from ros_domains import ros_domain
from test_inference_node import Bench, ROBOT, ROBOT_FILE
from tiny import save_tiny_checkpoint
from torch import Tensor

RATE_HZ = 1.0  # three committed rows leave a second: two of them are for the spline
STEPS = 5


class Sluggish:
    """A backend whose network takes a while longer for every row.

    Attributes:
        row_s: How much longer [s].
    """

    def __init__(self, backend: Any, row_s: float) -> None:
        """Wrap a backend."""
        self._backend, self.row_s = backend, row_s

    def __getattr__(self, name: str) -> Any:
        """Return what the backend has."""
        return getattr(self._backend, name)

    def denoise(self, latents: Tensor, *given: Any) -> Tensor:
        """Take longer; return what the backend returns."""
        time.sleep(self.row_s * len(latents))
        return self._backend.denoise(latents, *given)


class DeadlineBench(Bench):
    """A node whose four candidates of five steps take 1.6 s."""

    ROW_S = 0.08

    def __init__(self) -> None:
        """Start the node, with a policy that is slow from the start."""

        def load(*given: Any, **how: Any) -> Any:
            policy = load_policy(*given, **how)
            self.sluggish = Sluggish(policy.backend, self.ROW_S)
            policy.backend = self.sluggish
            return policy

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(inference_node, 'load_policy', load)
            super().__init__()

    def observation(self, n_committed: int) -> Observation:
        """Return an observation of now with rows that will be played until an answer comes."""
        self.wait(lambda: self.inference._observer.task)
        stamp_ns = self.sense()
        self.wait(lambda: self.sensed(stamp_ns))
        obs = self.inference._observer.observation(self.node.get_clock().now().nanoseconds)
        rows = np.tile(obs.proprio, (n_committed, 1))
        return replace(obs, committed=rows if n_committed else None)

    @contextmanager
    def wanting(self, may_reduce: bool = True, **wanted: int) -> Iterator[None]:
        """Let the node want another query, knowing of its latency what it knows."""
        usual = self.inference._budget
        self.inference._budget = QueryBudget(replace(usual.query, **wanted), STEPS, may_reduce)
        self.inference._budget.model = usual.model
        try:
            yield
        finally:
            self.inference._budget = usual

    def report_of(self, obs: Observation) -> tuple[dict[str, str], float]:
        """Have an observation answered; return the report and when the answer came [s]."""
        self.answers.clear()
        self.reports.clear()
        self.inference._worker.put(obs)
        self.wait(lambda: self.answers)
        came_s = (self.node.get_clock().now().nanoseconds - obs.stamp_ns) * 1e-9
        answered = str(self.inference._answered)

        def found() -> list[dict[str, str]]:
            values = [{v.key: v.value for v in r.status[0].values} for r in self.reports]
            return [v for v in values if v['answered'] == answered]

        self.wait(found)
        return found()[0], came_s


@pytest.fixture(scope='module')
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeadlineBench]:
    """Return a node that chooses the number of its candidates."""
    folder = tmp_path_factory.mktemp('checkpoint')
    save_tiny_checkpoint(folder, ROBOT, rate_hz=RATE_HZ, action_steps=STEPS)
    words = [f'robot:={ROBOT_FILE}', f'checkpoint:={folder}']
    words += ['max_image_age_s:=5.0', 'max_joint_age_s:=5.0']
    with ros_domain():
        rclpy.init(args=['--ros-args', *(w for g in words for w in ('-p', f'inference:{g}'))])
        bench = DeadlineBench()
        yield bench
        bench.close()
        rclpy.shutdown()


def test_without_committed_rows_half_of_the_chunk_is_left_to_play(bench: DeadlineBench) -> None:
    """Six rows last six seconds, and there is room for all four candidates of five steps."""
    report, came_s = bench.report_of(bench.observation(0))
    assert bench.answers[0].positions.shape[0] == 4
    assert (report['candidates_used'], report['steps_used']) == ('4', '5')
    assert 1500.0 < float(report['budget_ms']) < 3000.0
    assert came_s > 1.0


def test_machine_that_is_too_slow_for_all_candidates_answers_all_the_same(
    bench: DeadlineBench,
) -> None:
    """Else the executor would refuse the first chunk, and every other, for its age."""
    bench.sluggish.row_s = 3 * bench.ROW_S
    report, came_s = bench.report_of(bench.observation(0))
    bench.sluggish.row_s = bench.ROW_S
    assert int(report['steps_used']) < 5
    assert came_s < 3.9  # one step that has begun goes on to its end


def test_answer_comes_before_the_committed_rows_end(bench: DeadlineBench) -> None:
    """A second has room for fewer steps of all candidates; how many is reported."""
    report, came_s = bench.report_of(bench.observation(3))
    assert came_s < 1.0
    assert len(bench.answers[0].positions) == int(report['candidates_used']) == 4
    assert 2 <= int(report['steps_used']) < 5
    assert 0.0 < float(report['budget_ms']) < 1000.0
    assert 60.0 < float(report['latency_b_ms']) < 160.0
    assert float(report['latency_a_ms']) < 400.0
    assert int(report['reduced']) >= 1


def test_depth_is_given_up_before_candidates(bench: DeadlineBench) -> None:
    """Two chunks of four candidates take 1.3 s with two steps; without a hurry 3.2 s."""
    with bench.wanting(depth=2):
        report, came_s = bench.report_of(bench.observation(3))
    with bench.wanting(may_reduce=False, depth=2):
        free, _ = bench.report_of(bench.observation(0))
    assert (report['depth_used'], report['candidates_used']) == ('1', '4')
    assert came_s < 1.0
    assert (free['depth_used'], free['steps_used'], free['budget_ms']) == ('2', '5', '')


def test_machine_that_gets_slower_in_between_costs_steps(bench: DeadlineBench) -> None:
    """What was planned for would take three times the time; the newest estimate is sent."""
    bench.sluggish.row_s = 3 * bench.ROW_S
    report, came_s = bench.report_of(bench.observation(3))
    bench.sluggish.row_s = bench.ROW_S
    assert int(report['steps_used']) < 5
    assert came_s < 1.3


def test_operator_is_warned_of_a_machine_that_is_always_too_slow(bench: DeadlineBench) -> None:
    """One short answer is none of his business; ten in a row are."""
    bench.report_of(bench.observation(0))
    for _ in range(inference_node.PERSISTENT):
        assert bench.reports[-1].status[0].level == b'\0'
        bench.report_of(bench.observation(1))
    message = bench.reports[-1].status[0].message
    assert bench.reports[-1].status[0].level == b'\1'
    assert 'no time for 4 candidates of 5 denoising steps, 10 times in a row' in message


def test_given_number_of_candidates_is_kept(bench: DeadlineBench) -> None:
    """Steps end early all the same, since an answer that is late is played in part only."""
    with bench.wanting(may_reduce=False):
        report, came_s = bench.report_of(bench.observation(3))
    assert report['candidates_used'] == '4'
    assert int(report['steps_used']) < 5
    assert came_s < 1.1

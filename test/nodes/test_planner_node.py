# SPDX-License-Identifier: Apache-2.0
"""The planner asks in time, chooses the best candidate and ignores what it cannot use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.control.done import HELD_S
from cosmos_policy_ros.control.seams import PlaybackSettings
from cosmos_policy_ros.control.stall import SETTLED_S
from cosmos_policy_ros.core.config import read_config, write_config
from cosmos_policy_ros.nodes.planner_node import PlannerNode
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import (
    candidates_message,
    chunk_from_message,
    joint_state_message,
    query_rows,
    trajectory_rows,
)
from cosmos_policy_ros.ros.diagnostics import StatusReport
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.ros.service_calls import ANSWER_S
from cosmos_policy_ros.status import ExecutorStatus, State
from cosmos_policy_ros.topics import EXECUTOR_STATUS, HOME
from cosmos_policy_ros.types import ActionChunk, Candidates, ConfigError
from diagnostic_msgs.msg import DiagnosticArray
from node_bench import SteppedBench
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_domains import ros_domain
from sensor_msgs.msg import JointState, PointCloud2
from std_msgs.msg import Empty
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
JOINTS = read_robot(ROBOT_FILE).joint_names
MERGE_S = 0.3  # more than this process may pause on a busy machine


class Bench(SteppedBench):
    """A planner and a stand-in for inference node and executor."""

    def __init__(self) -> None:
        """Start both in this process."""
        self.planner, self.node = PlannerNode(), Node('planner_test')
        super().__init__(self.planner, self.node)
        self.queries: list[JointTrajectory] = []
        self.chunks: list[ActionChunk] = []
        self.reports: list[DiagnosticArray] = []
        self.node.create_subscription(JointTrajectory, '/policy/query', self.queries.append, 10)
        self.node.create_subscription(JointTrajectory, '/policy/action_chunk', self._on_chunk, 10)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self.reports.append, 10)
        self.out = self.node.create_publisher(PointCloud2, '/policy/candidates', 10)
        self.commands = self.node.create_publisher(JointState, '/joint_command', 10)
        self.pose: float | None = None  # of all joints, as the executor commands it; None is off
        self.node.create_timer(0.02, self._command)
        self.client = self.node.create_client(SetBool, '/planner/activate')
        self.wait(lambda: self.client.service_is_ready() and self.out.get_subscription_count())
        self.wait(lambda: self.planner.count_subscribers('/policy/query'))
        self.wait(self.commands.get_subscription_count)

    def _command(self) -> None:
        if self.pose is not None:
            now_ns = self.node.get_clock().now().nanoseconds
            pose = np.full(14, self.pose)
            self.commands.publish(joint_state_message(JOINTS, pose, now_ns))

    def _on_chunk(self, message: JointTrajectory) -> None:
        self.chunks.append(chunk_from_message(message, JOINTS))

    def activate(self, active: bool = True) -> SetBool.Response:
        """Call the service."""
        return self.call(self.client, SetBool.Request(data=active))

    def answer(self, query: JointTrajectory, values: list[float], **changes: object) -> None:
        """Answer a query with candidates whose positions are their number; one without values."""
        n = max(len(values), 1)
        positions = np.ones((n, 16, 14), np.float32) * np.arange(n)[:, None, None]
        sent = Candidates(
            stamp_ns=stamp_of(query),
            positions=positions.astype(np.float32),
            values=np.array(values, np.float32).reshape(n, -1),
            future_proprio=np.zeros((n, 14), np.float32),
        )
        joints, active_ns = changes.get('joints', JOINTS), changes.get('active_ns', 0)
        self.out.publish(candidates_message(sent, 25.0, joints, active_ns))

    def time_to_chunk(self, query: JointTrajectory) -> float:
        """Answer a query with one candidate; return how long the planner takes to decide [s]."""
        self.chunks.clear()
        start_s = time.monotonic()
        self.answer(query, [0.5])
        self.wait(lambda: self.chunks)
        return time.monotonic() - start_s

    def next_query(self) -> JointTrajectory:
        """Wait for a query and return it."""
        n = len(self.queries)
        self.wait(lambda: len(self.queries) > n)
        return self.queries[-1]

    def restart(self, pose: float | None = None) -> JointTrajectory:
        """Stop, start with an executor that commands a pose, or none; return the first query."""
        self.activate(False)
        self.pose = None
        self.spin(0.6)  # the planner has noticed that the executor was disabled
        self.pose = pose
        self.spin(0.1)
        self.queries.clear()
        self.chunks.clear()
        assert self.activate().success
        self.wait(lambda: self.queries)
        return self.queries[0]


@pytest.fixture(scope='module')
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return one planner for all tests, in a ROS domain of its own."""
    checkpoint = tmp_path_factory.mktemp('checkpoint')
    config = read_config(Path(__file__).parents[2] / 'models' / 'aloha_sim' / 'policy.json')
    config = replace(config, rate_hz=25.0, horizon=16, committed_rows=7)
    write_config(checkpoint / 'policy.json', config)
    with ros_domain():
        given = [f'planner:robot:={ROBOT_FILE}', 'planner:discovery_s:=0.2']
        given.append(f'planner:checkpoint:={checkpoint}')
        given.append(f'planner:merge_s:={MERGE_S}')
        rclpy.init(args=['--ros-args', *(word for g in given for word in ('-p', g))])
        bench = Bench()
        yield bench
        bench.close()
        rclpy.shutdown()


def test_nothing_is_asked_before_activation(bench: Bench) -> None:
    """A planner that starts leaves the networks alone."""
    bench.spin(0.3)
    assert bench.queries == []


def test_without_commands_nothing_is_committed(bench: Bench) -> None:
    """Nobody knows where the arms will be; the stamp is the time row 0 is due."""
    query = bench.restart()
    age_s = (bench.node.get_clock().now().nanoseconds - stamp_of(query)) * 1e-9
    assert 0 <= age_s < 1.0
    assert trajectory_rows(query, JOINTS).shape == (0, 14)


def test_best_candidate_becomes_the_chunk(bench: Bench) -> None:
    """Candidate 2 has the highest value; the chunk is due at the stamp of the query."""
    query = bench.restart()
    bench.answer(query, [0.3, 0.2, 0.9, 0.4])
    bench.wait(lambda: bench.chunks)
    assert bench.chunks[0].stamp_ns == stamp_of(query)
    assert bench.chunks[0].positions[0, 0] == 2.0
    assert bench.chunks[0].rate_hz == pytest.approx(25.0)


def test_score_that_is_hardly_better_is_no_choice(bench: Bench) -> None:
    """Candidate 0 is played, and the status says why not another."""
    query = bench.restart()
    bench.reports.clear()
    bench.answer(query, [0.30, 0.34])
    bench.wait(lambda: bench.chunks and bench.reports)
    assert bench.chunks[0].positions[0, 0] == 0.0
    values = {v.key: v.value for v in bench.reports[-1].status[0].values}
    assert (values['choice'], values['best']) == ('no choice', '0')
    assert (values['margin'], values['deviation']) == ('0.040', '0.050')
    assert float(values['apart_mm']) > 100.0


def test_first_query_commits_to_nothing(bench: Bench) -> None:
    """The arms stand until its answer comes, whose chunk begins then."""
    assert bench.restart(pose=0.3).points == []


def test_next_query_leaves_on_a_row_and_commits_to_what_is_played(bench: Bench) -> None:
    """The executor follows the chunk, whose rows of 40 ms are all 0."""
    first = bench.restart(pose=0.0)
    bench.answer(first, [0.5])
    query = bench.next_query()
    rows = query_rows(query, JOINTS, 25.0, 32, stamp_of(query))
    assert stamp_of(query) - stamp_of(first) > 300_000_000
    end_ns = bench.planner._mirror.end_ns
    assert end_ns is not None
    elapsed_ns = stamp_of(query) - (end_ns - 31 * 40_000_000)
    assert elapsed_ns % 40_000_000 < 100 or elapsed_ns % 40_000_000 > 39_999_900
    assert len(rows) >= 3
    np.testing.assert_allclose(rows, 0.0, atol=1e-6)


def test_executor_that_holds_elsewhere_is_believed(bench: Bench) -> None:
    """The chunk says 0 and the commands say 0.3, so 0.3 is committed.

    A query that leaves while the chunk itself is still near 0.3 commits to the chunk.
    """
    bench.answer(bench.restart(pose=0.3), [0.5])
    bench.wait(lambda: bench.chunks)

    def believed() -> bool:
        rows = trajectory_rows(bench.queries[-1], JOINTS)
        return len(rows) > 0 and bool(np.allclose(rows, 0.3, atol=1e-6))

    bench.wait(believed)


def test_committed_rows_that_were_not_played_are_reported(bench: Bench) -> None:
    """The arms are moved by 0.2 rad right after the query has left, which commits to 6 rows."""
    query = bench.restart(pose=0.0)
    bench.spin(0.15)
    bench.answer(query, [0.5])  # as slow as 4 rows
    query = bench.next_query()
    bench.pose = 0.2
    bench.spin(0.3)
    bench.reports.clear()
    bench.answer(query, [0.5])
    message = 'conditioned on rows that were not played: 0.20 rad'
    bench.wait(lambda: any(r.status[0].message == message for r in bench.reports))
    status = next(r.status[0] for r in bench.reports if r.status[0].message == message)
    values = {v.key: v.value for v in status.values}
    assert float(values['mismatch_rad']) == pytest.approx(0.2, abs=1e-3)
    assert int(values['committed_rows']) == len(query.points) >= 6
    assert float(values['delay_rows']) >= 0.3 * 25.0


def test_answer_without_values_is_not_that_of_a_policy_with_one(bench: Bench) -> None:
    """Its first candidate would be played, and nobody has judged it."""
    query, n_ignored = bench.restart(pose=0.0), bench.planner._n_ignored
    bench.answer(query, [])
    bench.wait(lambda: bench.planner._n_ignored > n_ignored)
    assert bench.planner._trouble.startswith('0 values, and ')
    assert not bench.chunks
    bench.answer(query, [0.5])
    bench.wait(lambda: bench.chunks)


def test_a_seam_that_commits_to_nothing_sends_no_rows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blend only smooths, and asks without waiting for a row."""
    monkeypatch.setattr(bench.planner, '_settings', PlaybackSettings('blend'))
    assert bench.restart(pose=0.3).points == []


def test_the_official_seam_asks_when_the_rows_of_the_policy_are_played(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 of 16 rows of 40 ms; without it the next query would leave at once, before the end."""
    monkeypatch.setattr(bench.planner, '_settings', PlaybackSettings('official', 'linear'))
    monkeypatch.setattr(bench.planner, '_open_loop_rows', 8)
    monkeypatch.setattr(bench.planner._pacer, '_waits', True)
    query = bench.restart(pose=0.0)
    assert query.points == []
    n_queries = len(bench.queries)
    bench.answer(query, [0.5])
    bench.wait(lambda: bench.chunks)
    chunk_ns = bench.node.get_clock().now().nanoseconds
    assert len(bench.chunks[0].positions) == 8
    bench.wait(lambda: len(bench.queries) > n_queries)
    waited_s = (stamp_of(bench.queries[n_queries]) - chunk_ns) * 1e-9
    assert waited_s > 0.25


def test_speed_scale_slows_the_next_chunk_while_running(bench: Bench) -> None:
    """Rows of 40 ms are 200 ms apart, and as many fewer of them pass until an answer comes."""
    assert bench.planner.set_parameters([Parameter('speed_scale', value=0.2)])[0].successful
    try:
        bench.answer(bench.restart(pose=0.0), [0.5])
        query = bench.next_query()
        bench.answer(query, [0.5])
        bench.wait(lambda: len(bench.chunks) == 2)
        assert [chunk.rate_hz for chunk in bench.chunks] == pytest.approx([5.0, 5.0])
        assert 1 <= len(query.points) <= 6  # two of them spare, if answers were cut short
    finally:
        assert bench.planner.set_parameters([Parameter('speed_scale', value=1.0)])[0].successful
    assert not bench.planner.set_parameters([Parameter('speed_scale', value=1.5)])[0].successful


def test_candidates_that_come_too_near_to_something_are_not_chosen(bench: Bench) -> None:
    """The best of three would press a gripper into the table."""
    query = bench.restart(pose=0.0)
    positions = np.zeros((3, 16, 14), np.float32) + bench.planner.robot.start
    positions[1, :, 1] = 0.3  # the left shoulder
    sent = Candidates(
        stamp_ns=stamp_of(query),
        positions=positions,
        values=np.array([[0.4], [0.9], [0.5]], np.float32),
        future_proprio=np.zeros((3, 14), np.float32),
    )
    bench.reports.clear()
    bench.out.publish(candidates_message(sent, 25.0, JOINTS))
    bench.wait(lambda: bench.chunks)
    np.testing.assert_allclose(bench.chunks[0].positions, positions[2], atol=1e-6)
    bench.wait(lambda: bench.reports)
    status = bench.reports[-1].status[0]
    assert int({v.key: v.value for v in status.values}['candidates_rejected']) >= 1


def test_one_query_is_under_way_at_a_time(bench: Bench) -> None:
    """A slow network is not asked again before it can have answered."""
    bench.restart()
    bench.spin(0.4)
    assert len(bench.queries) == 1


def test_unanswered_query_is_asked_again(bench: Bench) -> None:
    """After the timeout, and the report says that nobody answers."""
    bench.restart()
    bench.wait(lambda: len(bench.queries) > 1)
    assert (stamp_of(bench.queries[1]) - stamp_of(bench.queries[0])) * 1e-9 >= 0.5


def test_candidates_of_another_robot_are_ignored(bench: Bench) -> None:
    """The chunk comes from the answer that fits."""
    query = bench.restart()
    bench.answer(query, [0.5, 0.9], joints=[f'other/{i}' for i in range(14)])
    bench.spin(0.3)
    assert bench.chunks == []
    bench.answer(query, [0.5])
    bench.wait(lambda: bench.chunks)


def test_answer_from_before_the_activation_is_ignored(bench: Bench) -> None:
    """A chunk planned in the last episode is not played in this one."""
    old = bench.restart()
    bench.restart()
    bench.answer(old, [0.5])
    bench.spin(0.3)
    assert bench.chunks == []


def test_arms_that_were_enabled_anew_are_not_moved(bench: Bench) -> None:
    """Only the newest status arrives: that motion had ended meanwhile may never be seen."""
    bench.restart()
    report = StatusReport(bench.node, EXECUTOR_STATUS, 'command_executor')
    bench.wait(lambda: bench.planner.count_publishers(EXECUTOR_STATUS.ros_name))
    activated_ns = bench.node.get_clock().now().nanoseconds
    report.publish('ok', '', ExecutorStatus('enabled', 'playing', enabled_ns=activated_ns - 10**9))
    bench.spin(0.3)
    assert bench.planner._pacer.active
    report.publish('ok', '', ExecutorStatus('enabled', 'hold', enabled_ns=activated_ns + 10**9))
    bench.wait(lambda: not bench.planner._pacer.active)
    assert bench.planner._stopped == 'motion was enabled anew; activate the planner to go on'


def test_a_policy_does_not_wait_for_arms_to_be_enabled(bench: Bench) -> None:
    """Whoever enables them later has not asked it for anything."""
    bench.restart()
    report = StatusReport(bench.node, EXECUTOR_STATUS, 'command_executor')
    bench.wait(lambda: bench.planner.count_publishers(EXECUTOR_STATUS.ros_name))
    report.publish('ok', '', ExecutorStatus('disabled', 'disabled'))
    bench.wait(lambda: not bench.planner._pacer.active)
    assert bench.planner._stopped.startswith('the executor is in state disabled')


def test_queries_that_end_with_motion_are_worth_no_warning(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    """Those that cannot begin are, since a policy was activated before motion was enabled."""
    report = StatusReport(bench.node, EXECUTOR_STATUS, 'command_executor')

    def told(state: State) -> str:
        report.publish('ok', '', ExecutorStatus(state, 'hold'))
        lines = [line for line in capfd.readouterr().err.splitlines() if 'is in state' in line]
        return lines[-1] if lines else ''

    bench.restart()
    bench.wait(lambda: told('enabled') or bench.planner._enabled)
    bench.wait(lambda: told('disabled').startswith('[INFO]'))
    assert bench.activate().success
    bench.wait(lambda: told('disabled').startswith('[WARN]'))


def test_queries_end_when_nobody_is_left_who_answers(bench: Bench) -> None:
    """An inference node that comes back moves nothing."""
    bench.restart()
    bench.node.destroy_publisher(bench.out)
    bench.wait(lambda: not bench.planner._pacer.active)
    assert bench.planner._stopped == 'no inference node is left; activate the planner to go on'
    bench.out = bench.node.create_publisher(PointCloud2, '/policy/candidates', 10)
    bench.wait(bench.out.get_subscription_count)
    bench.queries.clear()
    bench.spin(0.5)
    assert bench.queries == []


def test_a_node_that_came_since_the_activation_moves_no_arms_that_rest(bench: Bench) -> None:
    """It may be in the place of one that was killed; beside one that answers it is welcome."""
    query = bench.restart(pose=0.0)
    bench.spin(0.2)
    came_ns = bench.node.get_clock().now().nanoseconds
    bench.answer(query, [0.5])
    bench.wait(lambda: bench.chunks)
    bench.spin(1.0)  # its rows end after 0.6 s
    n_ignored = bench.planner._n_ignored
    bench.answer(bench.queries[-1], [0.5], active_ns=came_ns)
    bench.wait(lambda: bench.planner._n_ignored > n_ignored)
    assert 'has come since the policy was activated' in bench.planner._trouble
    assert len(bench.chunks) == 1
    assert bench.planner.set_parameters([Parameter('speed_scale', value=0.2)])[0].successful
    try:
        bench.answer(bench.next_query(), [0.5])  # of one that was there, for 3 s of motion
        bench.wait(lambda: len(bench.chunks) == 2)
        bench.answer(bench.next_query(), [0.5], active_ns=came_ns)
        bench.wait(lambda: len(bench.chunks) == 3)
    finally:
        assert bench.planner.set_parameters([Parameter('speed_scale', value=1.0)])[0].successful


def test_the_first_answer_may_come_from_a_node_that_was_just_starting(bench: Bench) -> None:
    """Somebody has asked for it a moment ago."""
    query = bench.restart()
    bench.spin(0.2)
    bench.answer(query, [0.5], active_ns=bench.node.get_clock().now().nanoseconds)
    bench.wait(lambda: bench.chunks)


def test_a_node_that_was_active_before_a_clock_was_set_back_is_none_that_came(
    bench: Bench,
) -> None:
    """By its stamps it has been active since an hour from now."""
    bench.answer(bench.restart(pose=0.0), [0.5])
    bench.wait(lambda: bench.chunks)
    bench.spin(1.0)  # the arms rest
    ahead_ns = bench.node.get_clock().now().nanoseconds + 3_600_000_000_000
    bench.answer(bench.queries[-1], [0.5], active_ns=ahead_ns)
    bench.wait(lambda: len(bench.chunks) == 2)


def test_queries_end_when_no_answer_comes_for_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that hangs is on the graph, and may go on at any time."""
    monkeypatch.setattr(bench.planner, 'params', replace(bench.planner.params, give_up_s=2.0))
    query = bench.restart()
    bench.wait(lambda: not bench.planner._pacer.active)
    assert bench.planner._stopped == 'no answer for 2 s; activate the planner to go on'
    bench.answer(query, [0.5])
    bench.spin(0.3)
    assert bench.chunks == []


def test_a_planner_that_stood_still_asks_for_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose process was stopped, or whose computer slept."""
    monkeypatch.setattr(bench.planner, 'params', replace(bench.planner.params, give_up_s=2.0))
    bench.answer(bench.restart(), [0.5])
    bench.wait(lambda: bench.chunks)
    time.sleep(2.4)
    bench.wait(lambda: not bench.planner._pacer.active)
    bench.spin(SETTLED_S)  # until it can be activated again
    assert bench.planner._stopped.startswith('the planner has stood still for ')


def test_nothing_is_asked_while_a_person_has_taken_over(bench: Bench) -> None:
    """Answers from before do not count; after giving back a query commits to nothing of before."""
    old = bench.restart(pose=0.1)
    report = StatusReport(bench.node, EXECUTOR_STATUS, 'command_executor')
    bench.wait(lambda: bench.planner.count_publishers(EXECUTOR_STATUS.ros_name))
    report.publish('ok', '', ExecutorStatus('enabled', 'playing', led_by='person'))
    bench.spin(0.3)
    bench.queries.clear()
    bench.answer(old, [0.5])
    bench.spin(1.0)
    assert (bench.queries, bench.chunks) == ([], [])

    report.publish('ok', '', ExecutorStatus('enabled', 'hold'))
    given_back_ns = bench.node.get_clock().now().nanoseconds
    query = bench.next_query()
    assert stamp_of(query) >= given_back_ns
    assert trajectory_rows(query, JOINTS).shape == (0, 14)
    bench.answer(query, [0.5])
    bench.wait(lambda: bench.chunks)


def test_queries_end_when_the_value_says_that_the_task_is_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that is asked for; by default a high value is no reason to stop."""
    bench.restart()
    params = bench.planner.params
    for stops in (False, True):
        monkeypatch.setattr(bench.planner, 'params', replace(params, stop_when_done=stops))
        bench.answer(bench.restart(), [0.5])
        answered, end_s = 1, time.monotonic() + HELD_S + 1.5
        while time.monotonic() < end_s:
            bench.spin(0.02)
            for query in bench.queries[answered:]:
                bench.answer(query, [0.97])
            answered = len(bench.queries)
        bench.spin(1.2)
        assert (len(bench.queries) > answered) is not stops


@pytest.fixture
def two(bench: Bench) -> Iterator[Bench]:
    """Return a planner that sees two inference nodes."""
    second = bench.node.create_publisher(PointCloud2, '/policy/candidates', 10)
    bench.wait(lambda: bench.planner.count_publishers('/policy/candidates') == 2)
    yield bench
    bench.node.destroy_publisher(second)
    bench.wait(lambda: bench.planner.count_publishers('/policy/candidates') == 1)


def test_answers_of_two_inference_nodes_are_merged(two: Bench) -> None:
    """The best of both wins, and only one chunk is published, without further waiting."""
    query = two.restart()
    two.answer(query, [0.3])
    start_s = time.monotonic()
    two.answer(query, [0.2, 0.8])
    two.wait(lambda: two.chunks)
    assert time.monotonic() - start_s < MERGE_S
    two.spin(0.2)
    assert [c.positions[0, 0] for c in two.chunks] == [1.0]


def test_inference_node_that_falls_silent_is_waited_for_once(two: Bench) -> None:
    """One that was killed publishes on paper for a while; the report says that it is missed."""
    query = two.restart()
    two.answer(query, [0.3])
    two.answer(query, [0.2])
    assert two.time_to_chunk(two.next_query()) >= MERGE_S
    assert two.time_to_chunk(two.next_query()) < MERGE_S
    said = [report.status[0] for report in two.reports]
    status = next(s for s in said if s.message == '1 of 2 inference nodes answered in time')
    assert {v.key: v.value for v in status.values}['answers_merged'] == '1'


def test_inference_node_that_answers_too_late_is_waited_for_again(two: Bench) -> None:
    """It was slow, not dead, or it has just been started."""
    assert two.time_to_chunk(two.restart()) >= MERGE_S
    query = two.next_query()
    assert two.time_to_chunk(query) < MERGE_S
    two.answer(query, [0.9])
    assert two.time_to_chunk(two.next_query()) >= MERGE_S


def test_report_tells_value_and_latency(bench: Bench) -> None:
    """The score of the chosen candidate and how long answers take."""
    bench.answer(bench.restart(), [0.25, 0.75])
    bench.wait(lambda: bench.chunks)
    bench.reports.clear()
    bench.wait(lambda: bench.reports)
    status = bench.reports[-1].status[0]
    values = {v.key: v.value for v in status.values}
    assert (status.name, values['value'], values['scores']) == ('planner', '0.750', '0.250 0.750')
    assert float(values['query_ms_p50']) > 0


def test_second_planner_is_refused(bench: Bench) -> None:
    """Two planners on one domain would fight over the arms."""
    with pytest.raises(ConfigError, match=r"published by \['planner'\]; stop it or use another"):
        PlannerNode()


def test_an_activation_that_waited_while_the_planner_stood_still_is_refused(bench: Bench) -> None:
    """Whoever asked has given up; who asks again is obeyed, and so is who ends it at once."""
    bench.activate(False)
    bench.spin(0.1)
    answer = bench.client.call_async(SetBool.Request(data=True))
    time.sleep(ANSWER_S + 0.3)
    bench.wait(answer.done)
    assert not answer.result().success
    assert answer.result().message.startswith('not activated: this node stood still for ')
    assert not bench.planner._pacer.active
    assert bench.activate(False).success
    bench.spin(SETTLED_S)
    assert bench.activate().success
    bench.activate(False)


def test_arms_go_home_while_it_is_pressed_for_and_motion_is_enabled(bench: Bench) -> None:
    """Not where nobody enabled them, nor under a policy; the way begins where the arms are."""
    report = StatusReport(bench.node, EXECUTOR_STATUS, 'command_executor')
    home = create_publisher(bench.node, HOME)
    bench.activate(False)
    bench.pose = 0.3
    bench.wait(home.get_subscription_count)
    report.publish('ok', '', ExecutorStatus('disabled', 'disabled'))
    bench.spin(0.3)
    bench.chunks.clear()
    home.publish(Empty())
    bench.spin(0.3)
    assert bench.chunks == []

    report.publish('ok', '', ExecutorStatus('enabled', 'hold'))
    bench.spin(0.3)
    began_ns = bench.node.get_clock().now().nanoseconds
    home.publish(Empty())
    bench.wait(lambda: bench.chunks)
    np.testing.assert_allclose(bench.chunks[0].positions, 0.3, atol=1e-6)
    assert bench.chunks[0].stamp_ns >= began_ns

    bench.activate(True)
    bench.chunks.clear()
    home.publish(Empty())
    bench.spin(0.3)
    assert bench.chunks == []
    bench.activate(False)
    report.publish('ok', '', ExecutorStatus('disabled', 'disabled'))
    bench.spin(0.3)


def test_a_press_for_home_that_waited_while_the_planner_stood_still_moves_nothing(
    bench: Bench,
) -> None:
    """Whoever pressed has let go; who presses again is obeyed."""
    report = StatusReport(bench.node, EXECUTOR_STATUS, 'command_executor')
    home = create_publisher(bench.node, HOME)
    bench.activate(False)
    bench.pose = 0.3
    bench.wait(home.get_subscription_count)

    def is_enabled() -> bool:
        report.publish('ok', '', ExecutorStatus('enabled', 'hold'))
        return bench.planner._enabled

    bench.wait(is_enabled)
    bench.chunks.clear()
    home.publish(Empty())
    time.sleep(ANSWER_S + 0.3)
    bench._command()  # the executor has gone on
    time.sleep(0.1)
    bench.spin(0.3)
    assert bench.chunks == []
    bench.spin(SETTLED_S)
    home.publish(Empty())
    bench.wait(lambda: bench.chunks)
    report.publish('ok', '', ExecutorStatus('disabled', 'disabled'))
    bench.wait(lambda: not bench.planner._enabled)

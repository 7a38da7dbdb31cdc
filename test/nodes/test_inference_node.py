# SPDX-License-Identifier: Apache-2.0
"""Queries are answered from fresh observations, and refused with a reason from stale ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros import topics
from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.image_decoder import image_array
from cosmos_policy_ros.nodes.inference_node import InferenceNode
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import (
    active_since_ns,
    candidates_from_message,
    chunk_message,
    image_message,
    joint_state_message,
    trajectory_message,
)
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.types import ActionChunk, Candidates
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from node_bench import SteppedBench
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from ros_domains import ros_domain
from sensor_msgs.msg import Image, JointState, PointCloud2
from std_msgs.msg import String
from tiny import save_tiny_checkpoint, TASK
from trajectory_msgs.msg import JointTrajectory

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
JOINTS = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate')


class Bench(SteppedBench):
    """An inference node and a stand-in for robot and planner."""

    def __init__(self) -> None:
        """Start both in this process."""
        self.inference, self.node = InferenceNode(), Node('inference_test')
        super().__init__(self.inference, self.node)
        self.answers: list[Candidates] = []
        self.active_ns = 0  # since when whoever gave the newest answer has been active
        self.reports: list[DiagnosticArray] = []
        self.node.create_subscription(PointCloud2, '/policy/candidates', self._on_answer, 10)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self.reports.append, 10)
        qos = qos_profile_sensor_data
        self.rng = np.random.default_rng(0)  # of the noise that the cameras see
        self.images = {c: self.node.create_publisher(Image, c.topic, qos) for c in ROBOT.cameras}
        self.arms = {
            a: self.node.create_publisher(JointState, a.joint_state_topic, qos) for a in ROBOT.arms
        }
        self.task = create_publisher(self.node, topics.TASK)
        self.task.publish(String(data=TASK))
        self.query = self.node.create_publisher(
            JointTrajectory, '/policy/query', QoSProfile(depth=1)
        )
        outputs = [*self.images.values(), *self.arms.values(), self.task, self.query]
        self.wait(lambda: all(p.get_subscription_count() for p in outputs))
        self.wait(lambda: self.inference.count_subscribers('/policy/candidates'))

    def _on_answer(self, message: PointCloud2) -> None:
        self.active_ns = active_since_ns(message)
        self.answers.append(candidates_from_message(message, ROBOT.joint_names)[0])

    def sense(self, skip: str = '', finger: float = 0.02) -> int:
        """Publish one message of every stream but one; return their stamp [ns]."""
        stamp_ns = self.node.get_clock().now().nanoseconds
        for camera, publisher in self.images.items():
            if camera.name != skip:
                image = self.rng.integers(40, 60, (240, 320, 3), np.uint8)
                publisher.publish(image_message(image, stamp_ns, ''))
        for arm, publisher in self.arms.items():
            pose = [*arm.start[:6], finger]
            publisher.publish(joint_state_message((*JOINTS, 'left_finger'), pose, stamp_ns))
        return stamp_ns

    def answered_again(self) -> Candidates:
        """Return the answer to an observation that is the same every time.

        Another one goes before it, since a camera that sends the same image twice is frozen.
        """
        self.sense()
        self.rng = np.random.default_rng(7)
        return self.answered()

    def ask(self, n_rows: int = 0, rate_hz: float = 25.0, ahead_ns: int = 0) -> int:
        """Send a query that commits to the start pose; return its stamp [ns]."""
        stamp_ns = self.node.get_clock().now().nanoseconds + ahead_ns
        rows = np.tile(ROBOT.start, (n_rows, 1))
        self.query.publish(trajectory_message(stamp_ns, rows, rate_hz, ROBOT.joint_names))
        return stamp_ns

    def answered(self) -> Candidates:
        """Sense, ask and return the answer."""
        self.answers.clear()
        stamp_ns = self.sense()
        self.wait(lambda: self.sensed(stamp_ns))
        self.ask()
        self.wait(lambda: self.answers)
        return self.answers[-1]

    def sensed(self, stamp_ns: int) -> bool:
        """Whether the node has all messages of a time."""
        now_ns = self.node.get_clock().now().nanoseconds
        ages_s = self.inference._observer.ages_s(now_ns)
        return max(ages_s.values()) <= (now_ns - stamp_ns) * 1e-9 + 1e-6

    def refusal(self, **query: float) -> str:
        """Ask and return why the query is refused; ``query`` as in ``ask``."""
        self.reports.clear()
        self.ask(**query)
        self.wait(lambda: any('refused' in r.status[0].message for r in self.reports))
        return next(r.status[0].message for r in self.reports if 'refused' in r.status[0].message)


@pytest.fixture(scope='module')
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return one inference node for all tests, in a ROS domain of its own."""
    folder = tmp_path_factory.mktemp('checkpoint')
    save_tiny_checkpoint(folder, ROBOT)
    with ros_domain():
        given = [f'robot:={ROBOT_FILE}', f'checkpoint:={folder}', 'candidates:=3', 'futures:=2']
        given += ['values:=2', 'max_image_age_s:=1.0', 'max_joint_age_s:=1.0']
        rclpy.init(args=['--ros-args', *(w for g in given for w in ('-p', f'inference:{g}'))])
        bench = Bench()
        yield bench
        bench.close()
        rclpy.shutdown()


def test_query_is_answered_with_candidates(bench: Bench) -> None:
    """3 candidates of 4 rows for 14 joints with 2 x 2 values each."""
    answer = bench.answered()
    assert answer.positions.shape == (3, 4, 14)
    assert answer.values.shape == (3, 4)


def test_answer_carries_the_stamp_of_the_query(bench: Bench) -> None:
    """The planner knows by it which rows are due when."""
    bench.answers.clear()
    stamp_ns = bench.sense()
    bench.wait(lambda: bench.sensed(stamp_ns))
    query_ns = bench.ask()
    bench.wait(lambda: bench.answers)
    assert bench.answers[0].stamp_ns == query_ns


def test_answer_begins_with_the_committed_rows(bench: Bench) -> None:
    """They are played until it comes, so every candidate has them."""
    bench.answers.clear()
    stamp_ns = bench.sense()
    bench.wait(lambda: bench.sensed(stamp_ns))
    bench.ask(n_rows=2)
    bench.wait(lambda: bench.answers)
    expected = np.broadcast_to(ROBOT.start, (3, 2, 14))
    np.testing.assert_allclose(bench.answers[0].positions[:, :2], expected, atol=1e-4)


@pytest.mark.parametrize(
    ('query', 'reason'),
    [
        ({'n_rows': 2, 'rate_hz': 12.5}, '0.04 s apart as the rows of the policy are'),
        ({'n_rows': 4}, 'commits to 4 rows of chunks of 4; it must be fewer'),
        ({'ahead_ns': 500_000_000}, 'ms in the future, limit 5 ms'),
    ],
)
def test_query_that_makes_no_sense_is_refused(
    bench: Bench, query: dict[str, float], reason: str
) -> None:
    """The reason says what came and what was expected."""
    bench.answered()
    bench.sense()
    assert reason in bench.refusal(**query)
    assert bench.answered().positions.shape == (3, 4, 14)


def test_same_observation_gives_the_same_answer(bench: Bench) -> None:
    """The noise depends on the seed alone."""
    first, second = bench.answered_again(), bench.answered_again()
    np.testing.assert_array_equal(first.positions, second.positions)


def test_future_that_is_shown_is_that_of_the_candidate_that_is_played(bench: Bench) -> None:
    """The planner may keep candidate 0, or play one of another inference node."""
    answer = bench.answered()
    best = int(answer.values.mean(axis=1).argmax())
    other = (best + 1) % 3
    assert bench.inference._choice.find(answer) == best  # nobody chooses
    chunks = bench.node.create_publisher(JointTrajectory, '/policy/action_chunk', 1)
    bench.wait(lambda: bench.inference.count_publishers('/policy/action_chunk'))
    bench.wait(chunks.get_subscription_count)
    for positions, played in (
        (answer.positions[other], other),
        (answer.positions[other, :2], other),  # a part of it
        (answer.positions[other] + 0.1, None),
        (np.tile(answer.positions[other], (2, 1)), None),  # of a policy with longer chunks
    ):
        bench.inference._choice._chosen = None
        chunk = ActionChunk(answer.stamp_ns, positions.astype(np.float32), 25.0)
        chunks.publish(chunk_message(chunk, ROBOT.joint_names))
        bench.wait(lambda: bench.inference._choice._chosen)
        assert bench.inference._choice.find(answer) == played
    bench.node.destroy_publisher(chunks)
    bench.wait(lambda: not bench.inference.count_publishers('/policy/action_chunk'))


def test_future_images_are_published_while_somebody_looks(bench: Bench) -> None:
    """They are stamped with the time they predict, 4 rows of 40 ms later."""
    seen: list[Image] = []
    subscription = bench.node.create_subscription(
        Image, '/policy/future/high', seen.append, qos_profile_sensor_data
    )
    bench.wait(lambda: bench.inference.count_subscribers('/policy/future/high'))
    answer = bench.answered()
    bench.wait(lambda: seen)
    bench.node.destroy_subscription(subscription)
    assert image_array(seen[0]).shape == (32, 32, 3)
    assert stamp_of(seen[0]) - answer.stamp_ns == 160_000_000


def test_stale_camera_refuses_the_query_with_its_age(bench: Bench) -> None:
    """The reason names the camera; the next fresh image ends the refusal."""
    bench.answered()
    last_ns = bench.sense()
    while bench.node.get_clock().now().nanoseconds < last_ns + 1_100_000_000:
        stamp_ns = bench.sense(skip='left_wrist')
        bench.executor.spin_once(timeout_sec=0.1)
    assert stamp_ns > last_ns
    assert '/left_wrist/image_raw is 1' in bench.refusal()
    assert bench.answered().positions.shape == (3, 4, 14)


def test_nan_joint_state_refuses_the_query(bench: Bench) -> None:
    """A NaN is told as the reason once the last good joint state is too old."""
    bench.answered()
    end_ns = bench.node.get_clock().now().nanoseconds + 1_100_000_000
    while bench.node.get_clock().now().nanoseconds < end_ns:
        bench.sense(finger=float('nan'))
        bench.executor.spin_once(timeout_sec=0.1)
    assert "NaN or infinite position for ['left_finger']" in bench.refusal()
    assert bench.answered().positions.shape == (3, 4, 14)


def test_unknown_task_refuses_the_query(bench: Bench) -> None:
    """A task without embedding is told with the known ones."""
    bench.answered()
    bench.task.publish(String(data='fly'))
    bench.wait(lambda: bench.inference._observer.task == 'fly')
    bench.sense()
    reason = bench.refusal()
    assert bench.inference._match.task == ''
    bench.task.publish(String(data=TASK))
    bench.wait(lambda: bench.inference._observer.task == TASK)
    assert "no text embedding for the task 'fly'" in reason


@pytest.mark.skipif(not find_spec('wordllama'), reason='without extra "language"')
def test_paraphrase_is_answered_as_the_task_it_is_taken_for(bench: Bench) -> None:
    """The answer is the task's own, and the report names the task."""
    expected = bench.answered_again()
    bench.task.publish(String(data=f'Please {TASK}!'))
    bench.wait(lambda: bench.inference._observer.task == f'Please {TASK}!')
    answer = bench.answered_again()
    bench.reports.clear()
    bench.wait(lambda: bench.reports)
    values = {v.key: v.value for v in bench.reports[-1].status[0].values}
    bench.task.publish(String(data=TASK))
    bench.wait(lambda: bench.inference._observer.task == TASK)
    assert (values['task'], values['task_similarity']) == (TASK, '1.00')
    np.testing.assert_array_equal(answer.positions, expected.positions)


def test_newest_query_wins_while_the_worker_is_busy(bench: Bench) -> None:
    """Of many queries at once the last is answered; not all of them are."""
    bench.answered()
    bench.answers.clear()
    stamp_ns = bench.sense()
    bench.wait(lambda: bench.sensed(stamp_ns))
    obs = bench.inference._observer.observation(bench.node.get_clock().now().nanoseconds)
    before = bench.inference._worker.replaced
    for _ in range(20):
        bench.inference._worker.put(obs)
    bench.wait(lambda: bench.answers)
    assert bench.inference._worker.replaced > before


def test_report_tells_latency_and_age(bench: Bench) -> None:
    """Once a second, for the operator."""
    bench.answered()
    bench.reports.clear()
    bench.wait(lambda: bench.reports)
    status = bench.reports[-1].status[0]
    values = {v.key: v.value for v in status.values}
    assert status.name == 'inference'
    assert float(values['query_ms_p50']) > 0
    assert float(values['oldest_stream_ms']) >= 0


def change(bench: Bench, transition: int) -> bool:
    """Ask the node for a transition as ``ros2 lifecycle set`` does; return whether it came."""
    client = bench.node.create_client(ChangeState, '/inference/change_state')
    bench.wait(client.service_is_ready)
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(bench.call(client, request).success)


def stage(bench: Bench) -> str:
    """Return what ``ros2 lifecycle get`` says."""
    client = bench.node.create_client(GetState, '/inference/get_state')
    bench.wait(client.service_is_ready)
    return str(bench.call(client, GetState.Request()).current_state.label)


def test_a_deactivated_node_answers_nothing_until_it_is_active_again(bench: Bench) -> None:
    """It keeps its networks, and nobody waits for its answers: it is no publisher of them."""
    assert stage(bench) == 'active'
    bench.answered()
    before_ns, deactivated_ns = bench.active_ns, bench.node.get_clock().now().nanoseconds
    assert 0 < before_ns < deactivated_ns
    assert change(bench, Transition.TRANSITION_DEACTIVATE)
    assert stage(bench) == 'inactive'
    bench.wait(lambda: not bench.node.count_publishers('/policy/candidates'))
    bench.reports.clear()
    bench.wait(lambda: bench.reports)
    said = bench.reports[-1].status[0].message
    assert said == 'inactive; ros2 lifecycle set /inference activate'
    bench.answers.clear()
    bench.sense()
    bench.ask()
    bench.spin(0.5)
    assert bench.answers == []
    assert change(bench, Transition.TRANSITION_ACTIVATE)
    bench.wait(lambda: bench.node.count_publishers('/policy/candidates'))
    bench.answered()
    assert bench.active_ns > deactivated_ns


def test_a_cleaned_up_node_loads_again_and_says_why_it_cannot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of a transition is no end of the node."""
    assert change(bench, Transition.TRANSITION_DEACTIVATE)
    assert change(bench, Transition.TRANSITION_CLEANUP)
    assert stage(bench) == 'unconfigured'
    with monkeypatch.context() as patch:
        missing = replace(bench.inference.params, checkpoint='/nowhere')
        patch.setattr(bench.inference, 'params', missing)
        assert not change(bench, Transition.TRANSITION_CONFIGURE)
    assert stage(bench) == 'unconfigured'
    assert change(bench, Transition.TRANSITION_CONFIGURE)
    assert change(bench, Transition.TRANSITION_ACTIVATE)
    bench.wait(lambda: bench.node.count_publishers('/policy/candidates'))
    bench.answered()

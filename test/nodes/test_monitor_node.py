# SPDX-License-Identifier: Apache-2.0
"""One status of the stack, one tree of diagnostics, and what was imagined beside what came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.nodes.monitor_node import MonitorNode
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import (
    candidates_message,
    chunk_message,
    image_message,
    joint_state_message,
)
from cosmos_policy_ros.ros.diagnostics import Diagnostics, StatusReport, subscribe_status
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription
from cosmos_policy_ros.status import (
    ExecutorStatus,
    ImaginationStatus,
    InferenceStatus,
    PlannerStatus,
    PolicyStatus,
)
from cosmos_policy_ros.terminal.status import listen
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    CANDIDATES,
    DIAGNOSTICS_AGG,
    EXECUTOR_STATUS,
    future_image,
    IMAGE,
    IMAGINATION,
    INFERENCE_STATUS,
    JOINT_STATES,
    PLANNER_STATUS,
    POLICY_STATUS,
)
from cosmos_policy_ros.types import ActionChunk, Candidates
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_bench import SteppedBench, ThreadedBench
import rclpy
from rclpy.node import Node
from ros_domains import ros_domain

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
RATE_HZ, ROWS = 50.0, 10  # a chunk of 0.2 s
DISABLED = ExecutorStatus('disabled', 'disabled')
PLAYING = ExecutorStatus('enabled', 'playing')


class Stack:
    """A node that reports in place of all nodes of a stack.

    Args:
        node: The node.
    """

    def __init__(self, node: Node) -> None:
        """Open what they publish."""
        self.node = node
        self.executor = StatusReport(node, EXECUTOR_STATUS, 'command_executor')
        self.planner = StatusReport(node, PLANNER_STATUS, 'planner')
        self.inference = StatusReport(node, INFERENCE_STATUS, 'inference')
        self.candidates = create_publisher(node, CANDIDATES)
        self.chunks = create_publisher(node, ACTION_CHUNK)
        self.futures = {
            c.name: create_publisher(node, future_image(c.name)) for c in ROBOT.cameras
        }
        self.cameras = {c.name: create_publisher(node, IMAGE.at(c.topic)) for c in ROBOT.cameras}
        self.joints = [
            create_publisher(node, JOINT_STATES.at(t)) for t in ROBOT.joint_state_topics
        ]

    def now_ns(self) -> int:
        """Return the time now [ns]."""
        return self.node.get_clock().now().nanoseconds

    def report(self, executor: ExecutorStatus) -> None:
        """Report of a stack whose planner queries."""
        self.executor.publish('ok', executor.mode, executor)
        planner = PlannerStatus(active=True, value=0.75, scores=(0.75,), best=0)
        self.planner.publish('ok', 'querying', planner)
        self.inference.publish('ok', 'answering', InferenceStatus(task='lift'))

    def show(self, grey: dict[str, int]) -> None:
        """Send an image of every camera in a shade of grey, and the joints at the start pose."""
        for name, publisher in self.cameras.items():
            image = np.full((240, 320, 3), grey[name], np.uint8)
            publisher.publish(image_message(image, self.now_ns(), name))
        for arm, mine, publisher in zip(ROBOT.arms, ROBOT.arm_slices, self.joints, strict=True):
            state = arm.state_of_pose(ROBOT.start[mine])
            publisher.publish(joint_state_message(arm.state_joints, state, self.now_ns()))

    def plan(self, grey: dict[str, int]) -> None:
        """Answer with two candidates, choose the second, and predict images for it."""
        stamp_ns = self.now_ns()
        rows = np.tile(ROBOT.start, (2, ROWS, 1)).astype(np.float32)
        rows[1, :, 0] = 0.1
        future = rows[:, -1].copy()
        future[1, 0] = 0.05
        values = np.array([[0.5], [0.9]], np.float32)
        candidates = Candidates(stamp_ns, rows, values, future, {})
        message = candidates_message(candidates, RATE_HZ, ROBOT.joint_names)
        self.candidates.publish(message)
        chunk = ActionChunk(stamp_ns, rows[1], RATE_HZ)
        self.chunks.publish(chunk_message(chunk, ROBOT.joint_names))
        for name, publisher in self.futures.items():
            image = np.full((128, 128, 3), grey[name], np.uint8)
            due_ns = stamp_ns + round(ROWS / RATE_HZ * 1e9)
            publisher.publish(image_message(image, due_ns, name))


class Bench(SteppedBench):
    """A monitor, a stack, and what the monitor says."""

    def __init__(self) -> None:
        """Start all in this process."""
        self.node, self.monitor = Node('monitor_test'), MonitorNode()
        super().__init__(self.node, self.monitor)
        self.stack = Stack(self.node)
        self.statuses: list[PolicyStatus] = []
        self.imagined: list[ImaginationStatus] = []
        self.trees: list[DiagnosticArray] = []
        subscribe_status(self.node, POLICY_STATUS, PolicyStatus, self.statuses.append)
        subscribe_status(self.node, IMAGINATION, ImaginationStatus, self.imagined.append)
        create_subscription(self.node, DIAGNOSTICS_AGG, self.trees.append)
        sent = [*self.stack.futures.values(), *self.stack.cameras.values(), *self.stack.joints]
        sent += [self.stack.candidates, self.stack.chunks]
        self.wait(lambda: all(publisher.get_subscription_count() for publisher in sent))

    def imagine(self, grey: dict[str, int], then: dict[str, int]) -> ImaginationStatus:
        """Play a chunk for which grey images are predicted, and return the comparison."""
        self.stack.report(PLAYING)
        self.spin(0.15)
        n = len(self.imagined)
        self.stack.show(dict.fromkeys(grey, 100))
        self.spin(0.05)
        self.stack.plan(grey)

        def compared() -> bool:
            self.stack.show(then)
            self.spin(0.02)
            return len(self.imagined) > n

        self.spin(0.15)
        self.wait(compared)
        return self.imagined[-1]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a monitor in a ROS domain of its own."""
    with ros_domain():
        rclpy.init(args=['--ros-args', '-p', f'monitor:robot:={ROBOT_FILE}'])
        bench = Bench()
        yield bench
        bench.close()
        rclpy.shutdown()


def test_the_stack_has_one_status(bench: Bench) -> None:
    """A change of phase is sent at once, and whoever comes late gets the newest."""
    bench.wait(lambda: bench.statuses)
    assert bench.statuses[-1].reason == 'no report of command_executor, planner, inference yet'
    bench.stack.report(DISABLED)
    bench.wait(lambda: bench.statuses[-1].phase == 'disabled')
    bench.stack.report(PLAYING)
    bench.wait(lambda: bench.statuses[-1].phase == 'running')
    assert (bench.statuses[-1].value, bench.statuses[-1].task) == (0.75, 'lift')
    late: list[PolicyStatus] = []
    subscribe_status(bench.node, POLICY_STATUS, PolicyStatus, late.append)
    bench.wait(lambda: late)


def test_diagnostics_are_a_tree_with_the_worst_on_top(bench: Bench) -> None:
    """As rqt_robot_monitor shows it."""
    bench.stack.report(PLAYING)
    Diagnostics(bench.node, 'camera/high').publish('error', 'unplugged', losses=1)

    def found() -> bool:
        names = [status.name for status in bench.trees[-1].status] if bench.trees else []
        return '/aloha_sim/camera/high' in names and '/aloha_sim/planner' in names

    bench.wait(found)
    top, *leaves = bench.trees[-1].status
    assert (top.name, top.level, top.message) == (
        '/aloha_sim', DiagnosticStatus.ERROR, 'unplugged',
    )  # fmt: skip
    by_name = {leaf.name: leaf for leaf in leaves}
    assert by_name['/aloha_sim/planner'].message == 'querying'
    assert '/aloha_sim/policy' in by_name


def test_what_came_is_compared_with_what_the_chosen_candidate_imagined(bench: Bench) -> None:
    """Images of all cameras, and the joints that nobody moved."""
    grey = {'high': 140, 'left_wrist': 120, 'right_wrist': 100}
    status = bench.imagine(grey, {'high': 150, 'left_wrist': 120, 'right_wrist': 100})
    assert status.image_errors == {'high': 10.0, 'left_wrist': 0.0, 'right_wrist': 0.0}
    assert status.image_excess == {'high': -40.0, 'left_wrist': -20.0, 'right_wrist': 0.0}
    assert status.joint_rad == pytest.approx(0.05, abs=1e-6)
    assert (status.compared, status.warning) == (1, '')


def test_a_world_that_stays_another_is_a_warning_in_the_one_status(bench: Bench) -> None:
    """After two chunks; it is forgotten when the arms stop."""
    grey = {'high': 100, 'left_wrist': 180, 'right_wrist': 100}
    still = {'high': 100, 'left_wrist': 100, 'right_wrist': 100}
    assert bench.imagine(grey, still).warning == ''
    warning = bench.imagine(grey, still).warning
    assert warning.startswith('left_wrist does not show what was imagined: 80 of 255 farther')
    bench.wait(lambda: bench.statuses[-1].reason == warning)
    assert bench.statuses[-1].phase == 'running'
    bench.stack.report(DISABLED)
    bench.wait(lambda: bench.statuses[-1].imagination == '')


def test_a_terminal_shows_the_status_without_a_monitor() -> None:
    """By a process of its own that reads what the nodes report."""
    with ros_domain():
        rclpy.init()
        stack = Stack(Node('stack'))
        bench = ThreadedBench(stack.node)
        stack.node.create_timer(0.2, lambda: stack.report(PLAYING))
        level, status = listen({}, 4.0)
        bench.close()
    assert (level, status.phase, status.value) == ('ok', 'running', 0.75)

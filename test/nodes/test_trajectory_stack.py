# SPDX-License-Identifier: Apache-2.0
"""The executor moves simulated arms through stand-ins for their JointTrajectoryControllers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('control_msgs')

from cosmos_policy_ros.align import arm_pose
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import trajectory_message
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.endpoints import create_client, create_publisher, create_subscription
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import ACTION_CHUNK, ENABLE, EXECUTOR_STATUS, JOINT_STATES
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from ros_domains import ros_domain
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool

ROOT = Path(__file__).parents[2]
ROBOT_FILE = ROOT / 'config' / 'robots' / 'aloha_sim_trajectory.yaml'
ROBOT = read_robot(ROBOT_FILE)
LEFT = ROBOT.arms[0]
STATES = JOINT_STATES.at(LEFT.joint_state_topic)
PATIENT = ('max_joint_age_s:=1.0', 'max_image_age_s:=0.0', 'max_gap_area:=0.5')  # a busy machine


class Operator(Node):
    """Enables, sends a chunk and sees where the left arm is."""

    def __init__(self) -> None:
        """Open everything."""
        super().__init__('operator')
        self.pose = np.zeros(LEFT.size)
        self.status: ExecutorStatus | None = None
        self.enable = create_client(self, ENABLE)
        self.chunks = create_publisher(self, ACTION_CHUNK)
        create_subscription(self, STATES, self._on_joints)
        subscribe_status(self, EXECUTOR_STATUS, ExecutorStatus, self._on_status)

    def _on_joints(self, message: JointState) -> None:
        self.pose = arm_pose(LEFT, message)

    def _on_status(self, status: ExecutorStatus) -> None:
        self.status = status


def start(node: str, *given: str) -> subprocess.Popen[bytes]:
    """Start a node for the robot."""
    words = [w for g in (f'robot:={ROBOT_FILE}', 'discovery_s:=0.0', *given) for w in ('-p', g)]
    module = f'cosmos_policy_ros.nodes.{node}'
    return subprocess.Popen([sys.executable, '-m', module, '--ros-args', *words], cwd=ROOT)


@pytest.fixture
def bench() -> Iterator[tuple[ThreadedBench, Operator]]:
    """Return an operator beside a simulator and an executor."""
    with ros_domain():
        rclpy.init()
        operator = Operator()
        bench = ThreadedBench(operator)
        processes = [start('sim_node'), start('command_executor', *PATIENT)]
        yield bench, operator
        for process in processes:
            process.kill()
            process.wait(20)
        bench.close()


def test_chunk_reaches_the_arms_through_the_controllers(
    bench: tuple[ThreadedBench, Operator],
) -> None:
    """Their questions are answered, the waist goes where the chunk ends, and nothing faults."""
    threads, operator = bench
    threads.wait(operator.enable.service_is_ready)
    threads.wait(lambda: threads.call(operator.enable, SetBool.Request(data=True)).success)
    threads.wait(lambda: operator.status is not None and operator.status.state == 'enabled')
    rows = np.tile(ROBOT.start, (26, 1))
    rows[:, 0] = np.linspace(0.0, 0.25, 26)
    stamp_ns = operator.get_clock().now().nanoseconds
    operator.chunks.publish(trajectory_message(stamp_ns, rows, 25.0, ROBOT.joint_names))
    threads.wait(lambda: abs(operator.pose[0] - 0.25) < 0.02, 20.0)
    assert operator.status is not None
    assert (operator.status.state, operator.status.mode) == ('enabled', 'ended')

# SPDX-License-Identifier: Apache-2.0
"""Inference node and planner run a Cosmos 3 policy, which proposes one chunk and no value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.nodes.planner_node import _read_policy, PlannerNode, PlannerParams
from cosmos_policy_ros.ros.convert import chunk_from_message
from cosmos_policy_ros.types import ActionChunk, ConfigError
import rclpy
from ros_domains import ros_domain
from std_srvs.srv import SetBool
from test_inference_node import Bench, ROBOT, ROBOT_FILE
from tiny import TASK
from tiny_cosmos3 import robot_facts, save_tiny_cosmos3
from trajectory_msgs.msg import JointTrajectory


class PlanningBench(Bench):
    """An inference node, a planner, and a stand-in for the robot that goes on sensing."""

    def __init__(self) -> None:
        """Start all in this process."""
        super().__init__()
        self.node.destroy_publisher(self.query)  # else it is another planner
        self.wait(lambda: not self.node.count_publishers('/policy/query'))
        self.planner = PlannerNode()
        self.executor.add_node(self.planner)
        self.chunks: list[ActionChunk] = []
        self.node.create_subscription(JointTrajectory, '/policy/action_chunk', self._on_chunk, 10)
        self.node.create_timer(0.1, self.sense)
        self.client = self.node.create_client(SetBool, '/planner/activate')
        self.wait(self.client.service_is_ready)
        self.wait(lambda: self.planner.count_publishers('/policy/candidates'))
        self.wait(lambda: self.planner.count_subscribers('/policy/action_chunk'))

    def _on_chunk(self, message: JointTrajectory) -> None:
        self.chunks.append(chunk_from_message(message, ROBOT.joint_names))


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny policy for the simulated robot."""
    folder = tmp_path_factory.mktemp('cosmos3')
    save_tiny_cosmos3(folder, robot_facts(ROBOT, tasks=(TASK,), action_steps=2, guidance=1.0))
    return folder


@pytest.fixture(scope='module')
def bench(folder: Path) -> Iterator[PlanningBench]:
    """Return the nodes, in a ROS domain of their own."""
    with ros_domain():
        given = [f'{node}:{p}' for node in ('inference', 'planner')
                 for p in (f'robot:={ROBOT_FILE}', f'checkpoint:={folder}')]  # fmt: skip
        given += ['inference:max_image_age_s:=1.0', 'inference:max_joint_age_s:=1.0']
        given.append('planner:discovery_s:=0.2')
        rclpy.init(args=['--ros-args', *(word for g in given for word in ('-p', g))])
        bench = PlanningBench()
        yield bench
        bench.close()
        rclpy.shutdown()


def test_planner_plays_the_only_candidate_and_says_that_planning_is_off(
    bench: PlanningBench,
) -> None:
    """Nobody has to set the number of candidates, and no value is reported."""
    assert bench.call(bench.client, SetBool.Request(data=True)).success
    bench.wait(lambda: bench.chunks and bench.answers)
    chunk = bench.chunks[0]
    (played,) = (a.positions[0] for a in bench.answers if a.stamp_ns == chunk.stamp_ns)
    np.testing.assert_array_equal(chunk.positions, played)
    assert played.shape == (8, 14)
    assert chunk.rate_hz == pytest.approx(12.5)
    bench.reports.clear()
    bench.wait(lambda: any('planning is off' in r.status[0].message for r in bench.reports))
    status = next(r.status[0] for r in bench.reports if 'planning is off' in r.status[0].message)
    values = {pair.key: pair.value for pair in status.values}
    assert status.message == 'querying; the policy has no value: planning is off'
    assert (values['best'], values['scores']) == ('0', '')


def test_predicted_images_of_the_chunk_are_offered(bench: PlanningBench) -> None:
    """On the topics of all cameras, as of any policy."""
    topics = {name for name, _ in bench.node.get_topic_names_and_types()}
    assert {f'/policy/future/{camera.name}' for camera in ROBOT.cameras} <= topics


def test_queries_that_a_value_is_to_end_are_refused_at_the_start(folder: Path) -> None:
    """They would never end."""
    given = PlannerParams(robot=str(ROBOT_FILE), checkpoint=str(folder), stop_when_done=True)
    with pytest.raises(ConfigError, match='no value that could say so; set it false'):
        _read_policy(given)

# SPDX-License-Identifier: Apache-2.0
"""Two robots live on one network, each in its namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import subprocess

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.ros.stack_client import RECORDER_SERVICES, SIM_SERVICES, StackClient
from cosmos_policy_ros.stack.node_list import EXECUTOR, node_command, RECORDER, SIM
from cosmos_policy_ros.stack.processes import stop_nodes
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import DIAGNOSTICS, ENABLE, EXECUTOR_STATUS, Service
from diagnostic_msgs.msg import DiagnosticArray
import rclpy
from rclpy.node import Node
from rosbags.rosbag2 import Reader

pytestmark = pytest.mark.usefixtures('domain')


class Person:
    """Somebody at one of the robots, who sees its status and everybody's diagnostics."""

    def __init__(self, namespace: str, *services: Service) -> None:
        """Look and listen."""
        self.node = Node('person', namespace=namespace)
        self.client = StackClient(self.node, (ENABLE, *SIM_SERVICES, *services))
        self.state = ''
        self.reports: dict[str, str] = {}  # name -> hardware id
        subscribe_status(self.node, EXECUTOR_STATUS, ExecutorStatus, self._on_status)
        create_subscription(self.node, DIAGNOSTICS, self._on_diagnostics)

    def _on_status(self, status: ExecutorStatus) -> None:
        self.state = status.state

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.reports |= {status.name: status.hardware_id for status in message.status}


@pytest.fixture
def people(tmp_path: Path) -> Iterator[tuple[Person, Person]]:
    """Return who stands beside two simulated robots; the first is recorded."""
    values = {'out': str(tmp_path / 'bags')}
    patience = ['-p', 'max_silence_s:=9.0', '-p', 'max_age_s:=9.0']
    # Nobody listens to the cameras of the second, which are not drawn then: two scenes leave the
    # recorder of a small machine so little time that it takes messages for being late.
    blind = ['-p', 'max_image_age_s:=0.0']
    started = [
        subprocess.Popen(node_command(spec, {**values, 'namespace': name}) + given)
        for name, spec, given in (
            ('robot1', SIM, []),
            ('robot1', EXECUTOR, []),
            ('robot1', RECORDER, patience),
            ('robot2', SIM, []),
            ('robot2', EXECUTOR, blind),
        )
    ]
    rclpy.init()
    try:
        yield Person('/robot1', *RECORDER_SERVICES), Person('/robot2')
    finally:
        rclpy.shutdown()
        stop_nodes(started)


def test_one_robot_moves_and_is_recorded_beside_another(
    people: tuple[Person, Person], tmp_path: Path
) -> None:
    """Nothing of one reaches the other, and the bag is like that of a robot on its own."""
    first, second = people
    first.client.wait_until_ready(first.client.missing, 120.0)
    second.client.wait_until_ready(second.client.missing, 120.0)
    first.client.pause(3.0)
    first.client.enable(True)
    first.client.pause(1.0)  # a demonstration begins once commands are sent
    first.client.start_recording()
    first.client.pause(1.5)
    whole, message = first.client.stop_recording(True)
    assert whole or 'busy machine' in message, message
    second.client.wait(lambda: second.state, 20.0, lambda: 'no status')
    assert (first.state, second.state) == ('enabled', 'disabled')
    with Reader(tmp_path / 'bags' / 'episode_000000') as bag:
        counts = {connection.topic: connection.msgcount for connection in bag.connections}
        assert bag.storage.metadata.custom['namespace'] == '/robot1'
    wanted = ('/joint_command', '/follower_left/joint_states', '/high/image_raw', '/task')
    assert [topic for topic in wanted if not counts.get(topic)] == []
    assert [topic for topic in counts if 'robot' in topic] == []
    names = {'robot1/command_executor', 'robot2/command_executor', 'robot1/sim', 'robot2/sim'}
    second.client.wait(lambda: names <= set(second.reports), 20.0, lambda: f'{second.reports}')
    assert {second.reports[name] for name in names} == {'aloha_sim'}

# SPDX-License-Identifier: Apache-2.0
"""The running stack loses a camera or its inference process in the middle of an episode.

Real processes and the committed checkpoint; the ``high`` camera goes through a relay in this
process, which stands for the cable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
import signal

import numpy as np
from numpy.typing import NDArray
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import chunk_from_message
from cosmos_policy_ros.ros.stack_client import SIM_SERVICES, StackClient
from cosmos_policy_ros.stack.node_list import (
    EXECUTOR,
    INFERENCE,
    node_command,
    nodes_to_start,
    PLANNER,
    SIM,
    Value,
)
from cosmos_policy_ros.stack.processes import start_node, start_process, stop_nodes
from cosmos_policy_ros.topics import ACTIVATE, ENABLE
from cosmos_policy_ros.types import ActionChunk
from diagnostic_msgs.msg import DiagnosticArray
import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from ros_domains import ros_domain
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

pytestmark = pytest.mark.slow
ROBOT = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
VALUES: dict[str, Value] = {
    'checkpoint': str(share_path('models', 'aloha_sim')),
    'candidates': 1,
}
CUT = '/high/image_raw'
MAX_IMAGE_AGE_NS = 250_000_000  # of command_executor in config/nodes.yaml
PERIOD_NS = round(1e9 / ROBOT.control_rate_hz)


class Bench:
    """A stack, the cable of its ``high`` camera and what it says."""

    def __init__(self, logs: Path, values: Mapping[str, Value] = VALUES) -> None:
        """Start everything and wait until it is ready."""
        self.logs, self.values, self.node = logs, values, Node('bench')
        self.plugged, self.image_ns = True, 0
        self.reports: dict[str, list[tuple[int, str, dict[str, str]]]] = defaultdict(list)
        self.chunks: list[ActionChunk] = []
        self.commands: list[tuple[int, NDArray[np.float64]]] = []
        sim = [*node_command(SIM, {}), '-r', f'{CUT}:=/high/behind_the_cable']
        self.processes = {'sim': start_process(sim, logs / 'sim.log')}
        self.specs = {s.name: s for s in nodes_to_start((INFERENCE, PLANNER, EXECUTOR), values)}
        for name in self.specs:
            self.start(name)
        relay = self.node.create_publisher(Image, CUT, qos_profile_sensor_data)
        subscribe = self.node.create_subscription
        qos, relayed = qos_profile_sensor_data, partial(self._on_image, relay)
        subscribe(Image, '/high/behind_the_cable', relayed, qos, raw=True)
        subscribe(DiagnosticArray, '/diagnostics', self._on_report, 50)
        subscribe(JointTrajectory, '/policy/action_chunk', self._on_chunk, 10)
        subscribe(JointState, '/joint_command', self._on_command, 50)
        self.client = StackClient(self.node, (ENABLE, ACTIVATE, *SIM_SERVICES))
        self.wait(lambda: not self.client.missing(), 180.0)

    def start(self, name: str) -> None:
        """Start a node."""
        log = self.logs / f'{name}.log'
        self.processes[name] = start_node(self.specs[name], self.values, log)

    def kill(self, name: str) -> None:
        """End a node without a chance to say so; meanwhile the camera goes on."""
        process = self.processes[name]
        process.send_signal(signal.SIGKILL)
        self.wait(lambda: process.poll() is not None)  # the system takes its memory back

    def _on_image(self, relay: Publisher, data: bytes) -> None:
        if self.plugged:
            self.image_ns = self.node.get_clock().now().nanoseconds
            relay.publish(data)

    def _on_report(self, message: DiagnosticArray) -> None:
        for status in message.status:
            figures = {pair.key: pair.value for pair in status.values}
            report = stamp_of(message), status.message, figures
            self.reports[status.name].append(report)

    def _on_chunk(self, message: JointTrajectory) -> None:
        self.chunks.append(chunk_from_message(message, ROBOT.joint_names))

    def _on_command(self, message: JointState) -> None:
        self.commands.append((stamp_of(message), np.array(message.position)))

    def wait(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Listen until a condition holds."""
        self.client.wait(condition, timeout_s, lambda: f'nothing happened, see {self.logs}')

    def play(self, seed: int) -> None:
        """Begin an episode and let two chunks come."""
        self.client.reset(seed)
        self.client.enable(True)
        self.client.activate(True)
        self.chunks.clear()
        self.wait(lambda: len(self.chunks) >= 2)

    def forget(self) -> None:
        """Forget what was said until now."""
        self.reports.clear()
        self.commands.clear()

    def mode(self) -> str:
        """Return what the executor does."""
        reports = self.reports['command_executor']
        return reports[-1][2]['mode'] if reports else ''

    def reason(self) -> str:
        """Return why the arms do not just follow a chunk."""
        return self.reports['command_executor'][-1][1]

    def has_said(self, node: str, start: str) -> bool:
        """Whether a node has reported a message that starts like this."""
        return any(message.startswith(start) for _, message, _ in self.reports[node])

    def has_given_up(self) -> bool:
        """Whether the planner has said that it asks no more."""
        said = [message for _, message, _ in self.reports['planner']]
        return any(message.endswith('activate the planner to go on') for message in said)

    def since(self, mode: str) -> int:
        """Return when the executor first reported a mode [ns]."""
        return next(r[0] for r in self.reports['command_executor'] if r[2]['mode'] == mode)

    def last_row_ns(self) -> int:
        """Return when the last row of the newest chunk is due [ns]."""
        chunk = self.chunks[-1]
        return chunk.stamp_ns + round((len(chunk.positions) - 1) / chunk.rate_hz * 1e9)

    def still(self) -> bool:
        """Whether the last ten commands are one and the same."""
        newest = np.array([positions for _, positions in self.commands[-10:]])
        return len(newest) == 10 and not np.ptp(newest, axis=0).any()

    def stop(self) -> None:
        """End everything."""
        stop_nodes(self.processes.values())
        self.node.destroy_node()


@pytest.fixture(scope='module')
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return one stack for all tests, in a ROS domain of its own."""
    with ros_domain():
        rclpy.init()
        bench = Bench(tmp_path_factory.mktemp('logs'))
        yield bench
        bench.stop()
        rclpy.shutdown()


@pytest.fixture
def episode(bench: Bench) -> Iterator[Bench]:
    """Return the stack in the middle of an episode."""
    bench.play(seed=100000)
    yield bench
    bench.plugged = True
    bench.client.activate(False)
    bench.client.enable(False)


def test_arms_hold_when_a_camera_is_cut(episode: Bench) -> None:
    """Within two control periods of the time a camera may be silent, and they say which it is."""
    episode.forget()
    episode.plugged = False
    episode.wait(lambda: episode.mode() == 'hold')
    silent_ns = episode.since('hold') - episode.image_ns
    assert MAX_IMAGE_AGE_NS < silent_ns <= MAX_IMAGE_AGE_NS + 2 * PERIOD_NS
    assert episode.reason().startswith(f'{CUT} is silent for 2')
    assert episode.reason().endswith('limit 250 ms')
    episode.wait(episode.still)
    episode.wait(lambda: episode.has_said('inference', f'query refused: {CUT} is '))

    episode.plugged = True
    episode.wait(lambda: episode.mode() == 'playing')
    episode.wait(lambda: not episode.still())


def test_arms_finish_the_chunk_when_inference_dies(episode: Bench) -> None:
    """Then they hold, and an inference node that is back at once moves nothing by itself."""
    episode.forget()
    episode.kill('inference')
    episode.reports.clear()
    episode.start('inference')
    episode.wait(lambda: episode.mode() == 'ended')
    assert abs(episode.since('ended') - episode.last_row_ns()) <= 2 * PERIOD_NS
    assert episode.reason() == 'action chunk ended, holding its last row'
    episode.wait(episode.still)
    episode.wait(episode.has_given_up, 60.0)

    episode.wait(lambda: episode.has_said('inference', 'answering'), 180.0)
    episode.client.pause(2.0)
    assert episode.still()
    episode.client.activate(True)
    episode.wait(lambda: episode.mode() == 'playing', 180.0)
    episode.wait(lambda: not episode.still())

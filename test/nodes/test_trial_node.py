# SPDX-License-Identifier: Apache-2.0
"""A rollout that somebody begins and ends, against a stand-in for the stack that it leads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import json
from pathlib import Path
import threading
from typing import Any

import pytest

pytest.importorskip('rclpy')

from bags import ROBOT
from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.event_log import EventLog, FILE_NAME, REQUESTS
from cosmos_policy_ros.nodes.trial_node import TrialNode
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.ros.diagnostics import StatusReport
from cosmos_policy_ros.ros.endpoints import create_publisher, create_service, create_timer
from cosmos_policy_ros.status import ExecutorStatus, SimStatus
from cosmos_policy_ros.topics import (
    ACTIVATE,
    CANDIDATES,
    ENABLE,
    EXECUTOR_STATUS,
    RESET_SIM,
    SIM_STATUS,
    SUCCESS,
    TASK,
)
from node_bench import ThreadedBench
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from ros_domains import ros_domain
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool, Trigger

PERIOD_S = 0.05  # of everything that the stand-in sends
GIVEN_UP_S = 15.0  # after which the test ends a rollout that does not end by itself


class StandIn(ThreadedBench):
    """What a rollout needs of a stack: streams, services, status; nothing moves."""

    def __init__(self, bag: Path) -> None:
        """Start beside the node of the test; ``bag`` is where that saves the rollout."""
        self.context, self._bag = Context(), bag
        rclpy.init(context=self.context)
        self.node = node = Node('sim', context=self.context)
        node.declare_parameter('seed', 0)
        self.calls: list[tuple[str, bool]] = []
        self.saved: list[bool] = []  # whether the bag was there at each of the calls
        self.refuses_policy = self.judges = False
        self._executor_report = StatusReport(node, EXECUTOR_STATUS, 'command_executor')
        self._sim_report = StatusReport(node, SIM_STATUS, 'sim')
        self._enabled = False
        self._images = [
            node.create_publisher(Image, camera.topic, qos_profile_sensor_data)
            for camera in ROBOT.cameras
        ]
        self._joints = [
            node.create_publisher(JointState, topic, qos_profile_sensor_data)
            for topic in ROBOT.joint_state_topics
        ]
        self._success = create_publisher(node, SUCCESS)
        self._candidates = create_publisher(node, CANDIDATES)
        self._task = create_publisher(node, TASK)
        self._task.publish(String(data='lift the cube'))
        create_service(node, ENABLE, self._on_enable)
        create_service(node, ACTIVATE, self._on_activate)
        create_service(node, RESET_SIM, self._on_reset)
        create_timer(node, PERIOD_S, self._send)
        super().__init__(node, context=self.context)

    def _send(self) -> None:
        for publisher in self._images:
            publisher.publish(Image())
        for publisher in self._joints:
            publisher.publish(JointState())
        mode = 'hold' if self._enabled else 'disabled'
        state = 'enabled' if self._enabled else 'disabled'
        self._executor_report.publish('ok', '', ExecutorStatus(state, mode))
        self._sim_report.publish('ok', '', SimStatus(1.0, 30.0))
        if self.judges:
            self._success.publish(Bool(data=True))

    def _note(self, name: str, wanted: bool) -> None:
        self.saved.append(self._bag.exists())
        self.calls.append((name, wanted))

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._note('enable', request.data)
        self._enabled = request.data
        response.success = True
        return response

    def _on_activate(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        self._note('activate', request.data)
        response.success = not (self.refuses_policy and request.data)
        response.message = 'nobody answers'
        return response

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = True
        return response

    def close(self) -> None:
        """End the thread, and the node before its context."""
        super().close()
        self.node.destroy_node()


class Bench:
    """A trial node in this thread, the stand-in in another."""

    def __init__(self, out: Path) -> None:
        """Start both."""
        self.out, self.bag = out, out / 'bags' / 'rollout'
        self.node = TrialNode()
        self.stack = StandIn(self.bag)

    def play(self) -> dict[str, Any]:
        """Play one rollout that ends by itself, and return its last event of the episode."""
        EventLog(self.out / REQUESTS).write('go')
        give_up = threading.Timer(GIVEN_UP_S, lambda: EventLog(self.out / REQUESTS).write('stop'))
        give_up.start()
        try:
            self.node.run()
        finally:
            give_up.cancel()
        lines = (self.out / FILE_NAME).read_text(encoding='utf-8').splitlines()
        events = [json.loads(line) for line in lines]
        return next(event for event in events if event['event'] == 'episode')


@contextmanager
def bench(out: Path, **parameters: object) -> Iterator[Bench]:
    """Give a trial node with parameters on a domain of its own."""
    given = {'robot': robot_file('aloha_sim'), 'out': out, 'discovery_s': 0.0, 'seconds': 1.0}
    words = [w for name, value in (given | parameters).items() for w in ('-p', f'{name}:={value}')]
    with ros_domain():
        rclpy.init(args=['--ros-args', *words])
        bench = Bench(out)
        try:
            yield bench
        finally:
            bench.stack.close()
            bench.node.destroy_node()
            rclpy.shutdown()


def test_motion_ends_before_anything_else_does(tmp_path: Path) -> None:
    """Planner and disk may take long, and arms that are let go of must not move meanwhile."""
    with bench(tmp_path) as trial:
        episode = trial.play()
        assert trial.stack.calls == [
            ('enable', True),
            ('activate', True),
            ('enable', False),
            ('activate', False),
        ]
        assert not any(trial.stack.saved)
    assert episode['ended'] == 'time is up'
    assert 1.0 <= episode['seconds'] < GIVEN_UP_S
    metadata = read_metadata(trial.bag)
    assert metadata['complete'] == 'true'
    assert 'success' not in metadata  # a person says so later


def test_the_longest_rollout_goes_by_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    """Here the ROS clock stands still, as nobody sends it; one that is set stretches it too."""
    with bench(tmp_path, use_sim_time='true') as trial:
        episode = trial.play()
    assert episode['ended'] == 'time is up'
    assert 1.0 <= episode['seconds'] < GIVEN_UP_S


def test_a_rollout_that_breaks_off_leaves_no_motion_and_is_saved(tmp_path: Path) -> None:
    """Here the planner refuses once the arms are enabled."""
    with bench(tmp_path) as trial:
        trial.stack.refuses_policy = True
        with pytest.raises(SystemExit):
            trial.play()
        assert trial.stack.calls[-1] == ('enable', False)
        assert not any(trial.stack.saved)
    metadata = read_metadata(trial.bag)
    assert metadata['complete'] == 'false'
    assert metadata['cut'] == 'the rollout was broken off'
    assert 'success' not in metadata


def test_a_rollout_that_nobody_judges_is_over_and_saved_without_an_outcome(
    tmp_path: Path,
) -> None:
    """The simulator is silent at the end; motion does not wait for its word."""
    with bench(tmp_path, scene=3) as trial:
        with pytest.raises(SystemExit):
            trial.play()
        assert ('enable', False) in trial.stack.calls
    metadata = read_metadata(trial.bag)
    assert metadata['complete'] == 'true'
    assert 'success' not in metadata


def test_the_word_of_the_simulator_is_saved(tmp_path: Path) -> None:
    """As the outcome of the episode."""
    with bench(tmp_path, scene=3) as trial:
        trial.stack.judges = True
        assert trial.play()['success'] is True
    assert read_metadata(trial.bag)['success'] == 'true'

# SPDX-License-Identifier: Apache-2.0
"""A replay as a user runs it: real processes, the simulator, the executor with its safety."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from bags import ROBOT
from command_line import refused
from cosmos_policy_ros.align import arm_pose, stamp_of
from cosmos_policy_ros.data.bags.series import read_commands
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.experts.table import make_expert
from cosmos_policy_ros.stack.node_list import EXECUTOR, SIM
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
from node_bench import ThreadedBench
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from ros_domains import ros_domain, wait_for
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

COMMAND = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()', 'replay']
LONG_S = 200.0  # a process may take to start and to play where others use the processor
SEED = 3
NAMESPACE = 'robot1'  # of the robot that runs
RUNNING = ('--robot-running', '--namespace', NAMESPACE)
LEAD_SPEED = 0.5  # rad/s, of config/nodes.yaml
Commands = list[tuple[int, list[float]]]


def start_replay(bag: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    """Start a replay."""
    return subprocess.Popen(
        [*COMMAND, str(bag), '--out', str(out), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return exit status, output and errors of a replay that ends by itself."""
    try:
        text, errors = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
    return process.returncode, text, errors


def read_events(out: Path) -> dict[str, dict[str, Any]]:
    """Return the last event of every kind."""
    path = out / 'events.jsonl'
    lines = path.read_text(encoding='utf-8').splitlines() if path.exists() else []
    return {event['event']: event for event in map(json.loads, lines)}


class Watcher(ThreadedBench):
    """Somebody else on the domain who sees commands and joint states, and can enable."""

    def __init__(self, namespace: str = '') -> None:
        """Listen in a thread, in a namespace."""
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node('watcher', context=self.context, namespace=namespace)
        self.commands: Commands = []
        self.poses: list[np.ndarray] = []
        self.node.create_subscription(JointState, 'joint_command', self._on_command, 50)
        topic, qos = ROBOT.arms[0].joint_state_topic.lstrip('/'), qos_profile_sensor_data
        self.node.create_subscription(JointState, topic, self._on_pose, qos)
        self._enable = self.node.create_client(SetBool, 'command_executor/enable')
        self._estop = self.node.create_client(Trigger, 'command_executor/estop')
        self._reset = self.node.create_client(Trigger, 'command_executor/reset')
        super().__init__(self.node, context=self.context)

    def _on_command(self, message: JointState) -> None:
        self.commands.append((stamp_of(message), list(message.position)))

    def _on_pose(self, message: JointState) -> None:
        self.poses.append(arm_pose(ROBOT.arms[0], message))

    def seconds(self) -> float:
        """Return the time from the first command to the last [s]."""
        stamps_ns = [stamp_ns for stamp_ns, _ in self.commands]
        return (stamps_ns[-1] - stamps_ns[0]) * 1e-9 if stamps_ns else 0.0

    def enable(self, wanted: bool) -> Any:
        """Enable or disable the executor, as a person does."""
        assert self._enable.wait_for_service(60.0)
        return self.call(self._enable, SetBool.Request(data=wanted))

    def estop(self) -> None:
        """Press the software's emergency stop."""
        self.call(self._estop, Trigger.Request())

    def reset(self) -> None:
        """Allow enabling again after the emergency stop."""
        assert self.call(self._reset, Trigger.Request()).success


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the first 2.5 s of a scripted demonstration."""
    path = tmp_path_factory.mktemp('bags') / 'piece'
    sim = AlohaSim()
    sim.reset(SEED)
    rng = np.random.default_rng(SEED)
    expert = make_expert(sim, rng)
    with BagWriter(path, {'robot': 'aloha_sim', 'seed': str(SEED)}) as writer:
        for tick in range(125):
            action = expert.action()
            writer.write_joints('/joint_command', ROBOT.joint_names, action, tick * 20_000_000)
            sim.step(action)
    return path


def test_simulator_gets_the_recorded_commands(bag: Path, tmp_path: Path, domain: int) -> None:
    """Somebody else on the domain sees them go out, after the way to the first pose."""
    watcher = Watcher()
    try:
        process = start_replay(bag, tmp_path, '--domain', str(domain))
        status, text, errors = finish(process)
    finally:
        watcher.close()
    assert status == 0, text + errors
    assert 'simulator: no success' in text  # the piece ends before the transfer

    started, recorded = read_events(tmp_path)['started'], read_commands(bag, ROBOT)
    begin_ns = started['start_ns'] + round(started['lead_s'] * 1e9)
    stamps_s = np.array([(ns - begin_ns) * 1e-9 for ns, _ in watcher.commands])
    during = (stamps_s >= 0) & (stamps_s <= recorded.time_s[-1])
    sent = np.array([positions for _, positions in watcher.commands])[during]
    columns = [np.interp(stamps_s[during], recorded.time_s, c) for c in recorded.values.T]
    assert during.sum() > 100
    assert np.ptp(sent, axis=0).max() > 0.3  # the arms do move in the piece
    # A late joint state makes the executor hold for a moment, as on a busy machine.
    agrees = np.abs(sent - np.stack(columns, axis=1)).max(axis=1) < 0.02
    assert agrees.mean() > 0.7
    assert agrees[-1]


class Running:
    """A simulated robot in a namespace, whose executor runs already."""

    def __init__(self, logs: Path) -> None:
        """Start it and wait until it can be enabled."""
        self.processes = [
            start_node(spec, {'namespace': NAMESPACE}, logs / f'{spec.name}.log')
            for spec in (SIM, EXECUTOR)
        ]
        self.watcher = Watcher(NAMESPACE)
        wait_for(lambda: len(self.watcher.poses) > 50, LONG_S)
        assert self.watcher.enable(False).success

    def close(self) -> None:
        """End it."""
        self.watcher.close()
        stop_nodes(self.processes)


@pytest.fixture(scope='module')
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a running robot; replays started by the test find it."""
    with ros_domain():
        running = Running(tmp_path_factory.mktemp('logs'))
        yield running
        running.close()


def test_nothing_moves_before_it_is_enabled(robot: Running, bag: Path, tmp_path: Path) -> None:
    """Then slowly to the first pose; an emergency stop ends the replay with one line."""
    watcher = robot.watcher
    process = start_replay(bag, tmp_path, *RUNNING)
    try:
        wait_for(lambda: 'waiting' in read_events(tmp_path), LONG_S)
        watcher.poses.clear()
        watcher.wait(lambda: len(watcher.poses) > 150)
        assert watcher.commands == []
        assert np.ptp(np.array(watcher.poses), axis=0).max() < 0.001

        assert watcher.enable(True).success
        wait_for(lambda: 'started' in read_events(tmp_path), LONG_S)
        lead_s = read_events(tmp_path)['started']['lead_s']
        watcher.wait(lambda: watcher.seconds() > lead_s + 0.7)
        watcher.estop()
        status, text, errors = finish(process)
    finally:
        process.kill()
    assert status == 1
    assert 'you enable the executor' in text
    assert 'ros2 service call /robot1/command_executor/enable' in text
    assert len(errors.strip().splitlines()) == 1
    assert 'is in fault (emergency stop); no further chunk is sent' in errors

    commands = list(watcher.commands)  # they go on
    stamps_s = np.array([(ns - commands[0][0]) * 1e-9 for ns, _ in commands])
    positions = np.array([row for _, row in commands])
    way = stamps_s < lead_s
    speed = np.diff(positions[way], axis=0) / np.diff(stamps_s[way])[:, None]
    assert np.abs(speed).max() < 1.2 * LEAD_SPEED
    assert np.ptp(positions[~way], axis=0).max() > 0.01  # it had begun to play
    assert watcher.enable(False).success
    assert 'emergency stop is latched' in watcher.enable(True).message
    watcher.reset()


def test_enabled_executor_is_refused(robot: Running, bag: Path, tmp_path: Path) -> None:
    """A start alone moves nothing."""
    assert robot.watcher.enable(True).success
    robot.watcher.commands.clear()
    robot.watcher.wait(lambda: len(robot.watcher.commands) > 20)
    before = robot.watcher.commands[-1][1]
    status, _, errors = finish(start_replay(bag, tmp_path, *RUNNING))
    assert status == 1
    assert len(errors.strip().splitlines()) == 1
    assert "the executor is in state 'enabled'" in errors
    assert robot.watcher.commands[-1][1] == before
    assert robot.watcher.enable(False).success


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--speed', '2'], '--speed must be from 0.05 to 1.0, got 2.0'),
        (['--robot', 'none.yaml'], 'no robot file none.yaml'),
        (['--domain', '300'], 'a ROS domain is a number from 0 to 101, got 300'),
    ],
)
def test_wrong_option_is_one_line(bag: Path, tmp_path: Path, words: list[str], said: str) -> None:
    """Nothing is started."""
    assert said in refused('replay', str(bag), '--out', str(tmp_path), *words)


def test_truncated_bag_is_one_line(bag: Path, tmp_path: Path) -> None:
    """The bag is named."""
    cut = tmp_path / 'cut'
    cut.mkdir()
    storage = next(bag.glob('*.mcap'))
    (cut / storage.name).write_bytes(storage.read_bytes()[:2000])
    (cut / 'metadata.yaml').write_bytes((bag / 'metadata.yaml').read_bytes())
    line = refused('replay', str(cut), '--out', str(tmp_path / 'out'))
    assert f'episode {cut} cannot be read' in line


def test_bag_of_an_unknown_robot_needs_its_file(tmp_path: Path) -> None:
    """No robot is guessed."""
    with BagWriter(tmp_path / 'bag', {'robot': 'another'}) as writer:
        writer.write_joints('/joint_command', ROBOT.joint_names, ROBOT.start, 0)
    line = refused('replay', str(tmp_path / 'bag'), '--out', str(tmp_path / 'out'))
    assert "names the robot 'another'" in line

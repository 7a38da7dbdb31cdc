# SPDX-License-Identifier: Apache-2.0
"""The recorder as a process, with fake cameras and arms at the other end of the topics."""

from __future__ import annotations

from collections.abc import Iterator
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.episodes import list_episodes
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import image_message, joint_state_message, trajectory_message
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.topics import JOINT_COMMAND, TASK
from cosmos_policy_ros.types import ConfigError
from diagnostic_msgs.msg import DiagnosticArray
from mcap.reader import make_reader
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from ros_domains import ros_domain
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

ROOT = Path(__file__).parents[2]
ROBOT_FILE = ROOT / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
MAX_S = 2.0  # silence that ends an episode; more than this process may pause on a busy machine
CHUNK = trajectory_message(1, np.zeros((2, 14), np.float32), 25.0, ROBOT.joint_names)
PIXELS = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)


class Robot(Node):
    """Cameras, arms and an executor that stand still, and what is heard of the recorder."""

    def __init__(self) -> None:
        """Publish everything an episode needs but the task."""
        super().__init__('fake_robot')
        self.silent: set[str] = set()  # topics that publish nothing
        self.encoding = 'rgb8'  # what the images say they are
        self.status: dict[str, str] = {}
        qos = qos_profile_sensor_data
        self._images = [self.create_publisher(Image, c.topic, qos) for c in ROBOT.cameras]
        self._states = [
            self.create_publisher(JointState, a.joint_state_topic, qos) for a in ROBOT.arms
        ]
        self._commands = self.create_publisher(JointState, 'joint_command', 10)
        self.chunks = self.create_publisher(JointTrajectory, 'policy/action_chunk', 1)
        self.task = create_publisher(self, TASK)
        self.start = self.create_client(Trigger, 'recorder/start')
        self.stop = self.create_client(SetBool, 'recorder/stop')
        self.discard = self.create_client(Trigger, 'recorder/discard')
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.create_timer(0.08, self._publish_images)
        self.create_timer(0.02, self._publish_joints)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == 'recorder':
                self.status = {v.key: v.value for v in status.values}

    def _publish_images(self) -> None:
        stamp_ns = self.get_clock().now().nanoseconds
        for camera, publisher in zip(ROBOT.cameras, self._images, strict=True):
            if camera.topic not in self.silent:
                image = image_message(PIXELS, stamp_ns, camera.name)
                image.encoding = self.encoding
                publisher.publish(image)

    def _publish_joints(self) -> None:
        stamp_ns = self.get_clock().now().nanoseconds
        for arm, publisher in zip(ROBOT.arms, self._states, strict=True):
            names = [*arm.joints, 'left_finger']
            if arm.joint_state_topic not in self.silent:
                publisher.publish(joint_state_message(names, [0.1] * 6 + [0.058], stamp_ns))
        command = joint_state_message(ROBOT.joint_names, [0.2] * 14, stamp_ns)
        if JOINT_COMMAND.name not in self.silent:
            self._commands.publish(command)


class Bench(ThreadedBench):
    """A fake robot that spins in a thread, and recorders beside it."""

    def __init__(self) -> None:
        """Start spinning."""
        rclpy.init()
        self.robot = Robot()
        self.process: subprocess.Popen[bytes] | None = None
        super().__init__(self.robot)

    def close(self) -> None:
        """Stop."""
        self.end(signal.SIGKILL)
        super().close()

    def record_to(self, out: Path, *parameters: str) -> None:
        """Start a recorder that writes to a folder, and wait for it."""
        self.end(signal.SIGKILL)
        given = (
            f'robot:={ROBOT_FILE}',
            f'out:={out}',
            'operator_id:=Ada',
            'station_id:=bench 3',
            'min_free_mb:=10.0',
        )
        given += (f'max_age_s:={MAX_S}', f'max_silence_s:={MAX_S}', *parameters)
        words = [word for p in given for word in ('-p', p)]
        node = [sys.executable, '-m', 'cosmos_policy_ros.nodes.recorder_node']
        self.robot.status = {}
        self.robot.silent.clear()
        self.process = subprocess.Popen([*node, '--ros-args', *words], env=os.environ)
        self.wait(lambda: self.robot.status.get('stale') == '')
        for client in (self.robot.start, self.robot.stop, self.robot.discard):
            self.wait(client.service_is_ready)

    def end(self, how: signal.Signals) -> None:
        """End the recorder and wait until its services are gone."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def ask(self, client: Any, request: Any) -> tuple[bool, str]:
        """Call a service and return what it answered."""
        response = self.call(client, request)
        return response.success, response.message

    def start(self) -> tuple[bool, str]:
        """Start an episode."""
        return self.ask(self.robot.start, Trigger.Request())

    def stop(self, success: bool = True) -> tuple[bool, str]:
        """Stop the episode with a label."""
        return self.ask(self.robot.stop, SetBool.Request(data=success))

    def record(self, seconds: float) -> None:
        """Start an episode and let it run."""
        self.wait(lambda: self.robot.status.get('task'))
        started, message = self.start()
        assert started, message
        time.sleep(seconds)


def custom(path: Path) -> dict[str, str]:
    """Return the custom data of a bag."""
    with Reader(path) as bag:
        return dict(bag.storage.metadata.custom or {})


@pytest.fixture(scope='module')
def bench() -> Iterator[Bench]:
    """Return a fake robot in a ROS domain of its own."""
    with ros_domain():
        bench = Bench()
        yield bench
        bench.close()


def test_nothing_starts_without_a_task(bench: Bench, tmp_path: Path) -> None:
    """An episode without an instruction could not be learned from; runs before any task."""
    bench.record_to(tmp_path)
    started, message = bench.start()
    assert not started
    assert 'no task; publish it on /task' in message
    bench.robot.task.publish(String(data='move'))
    bench.wait(lambda: bench.start()[0])
    assert bench.ask(bench.robot.discard, Trigger.Request())[0]


def test_an_episode_is_a_bag_that_the_reader_takes(bench: Bench, tmp_path: Path) -> None:
    """Cameras, joints and the commands that were sent, with task and label."""
    bench.robot.task.publish(String(data='move'))
    bench.record_to(tmp_path)
    bench.record(2.5)
    stopped, message = bench.stop(success=True)
    assert stopped, message
    episode = read_bag(list_episodes(tmp_path)[0].path, ROBOT, 25.0, MAX_S, MAX_S)
    assert (episode.source, episode.task, episode.success) == ('demo', 'move', True)
    assert len(episode.stamps_ns) > 30
    np.testing.assert_allclose(episode.actions, 0.2, rtol=1e-6)
    np.testing.assert_array_equal(episode.images['high'][0], PIXELS)


def test_a_bag_says_who_recorded_what(bench: Bench, tmp_path: Path) -> None:
    """Operator, robot file, checkpoint and the audit are in the custom data."""
    (tmp_path / 'checkpoint').mkdir()
    (tmp_path / 'checkpoint' / 'policy.json').write_text('{}', encoding='utf-8')
    bench.robot.task.publish(String(data='move'))
    policy = f'policy:={tmp_path}/checkpoint'
    bench.record_to(tmp_path / 'bags', 'source:=rollout', policy)
    bench.record(2.0)
    bench.robot.chunks.publish(CHUNK)
    time.sleep(0.5)
    assert bench.stop(success=False)[0]
    details = custom(tmp_path / 'bags' / 'episode_000000')
    assert details['operator_id'] == 'Ada'
    assert details['station_id'] == 'bench 3'
    assert details['is_eval_episode'] == 'false'
    assert 'robot_id' not in details
    assert details['source'] == 'rollout'
    assert details['success'] == 'false'
    assert details['complete'] == 'true'
    assert details['robot_yaml'] == ROBOT_FILE.read_text(encoding='utf-8')
    assert len(details['checkpoint']) == 64
    audit = json.loads(details['audit'])
    assert 20 <= audit['/high/image_raw']['count'] <= audit['/high/image_raw']['expected'] + 5
    assert audit['/high/image_raw']['longest_gap_s'] < MAX_S
    assert audit['/policy/action_chunk']['count'] == 1
    assert audit['/task']['count'] == 1


def test_mcap_tools_open_the_file(bench: Bench, tmp_path: Path) -> None:
    """Topics, schemas and an index are there."""
    bench.robot.task.publish(String(data='move'))
    bench.record_to(tmp_path, 'compress:=true')
    bench.record(0.5)
    assert bench.stop()[0]
    with (tmp_path / 'episode_000000' / 'episode_000000.mcap').open('rb') as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert {'/task', '/joint_command', '/high/image_raw'} <= {
        c.topic for c in summary.channels.values()
    }
    assert 'sensor_msgs/msg/Image' in {s.name for s in summary.schemas.values()}


def test_discarding_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    """Neither a bag nor an unfinished folder; the next episode has its number."""
    bench.robot.task.publish(String(data='move'))
    bench.record_to(tmp_path)
    bench.record(0.3)
    assert bench.ask(bench.robot.discard, Trigger.Request())[0]
    assert list(tmp_path.iterdir()) == []
    bench.record(0.3)
    assert 'episode_000000' in bench.stop()[1]
    assert bench.stop() == (False, f'not recording; {bench.robot.status["last"]}')


def test_a_silent_stream_refuses_the_start(bench: Bench, tmp_path: Path) -> None:
    """Which one, and how old."""
    bench.robot.task.publish(String(data='move'))
    bench.record_to(tmp_path)
    bench.robot.silent |= {'/high/image_raw', '/follower_left/joint_states'}
    time.sleep(MAX_S + 0.5)
    started, message = bench.start()
    assert not started
    assert '/high/image_raw is 2.' in message
    assert '/follower_left/joint_states is 2.' in message
    assert '/left_wrist/image_raw' not in message


def test_a_camera_that_stops_ends_the_episode_as_invalid(bench: Bench, tmp_path: Path) -> None:
    """The bag says why, the label is refused, and training does not read it."""
    bench.robot.task.publish(String(data='move'))
    bench.record_to(tmp_path)
    bench.record(1.0)
    bench.robot.silent.add('/left_wrist/image_raw')
    bench.wait(lambda: bench.robot.status['state'] == 'idle')
    stopped, message = bench.stop(success=True)
    assert not stopped
    assert '/left_wrist/image_raw was silent for 2.' in message
    details = custom(tmp_path / 'episode_000000')
    assert details['invalid'].startswith('/left_wrist/image_raw was silent')
    assert 'success' not in details
    with pytest.raises(ConfigError, match='is invalid: /left_wrist/image_raw was silent'):
        read_bag(tmp_path / 'episode_000000', ROBOT, 25.0)


def test_a_killed_recorder_leaves_a_bag_that_opens(bench: Bench, tmp_path: Path) -> None:
    """The next recorder finishes it: all but the last second, marked incomplete."""
    bench.robot.task.publish(String(data='move'))
    bench.record_to(tmp_path)
    bench.record(4.0)
    bench.end(signal.SIGKILL)
    assert [p.name for p in tmp_path.iterdir()] == ['episode_000000.partial']
    bench.record_to(tmp_path)
    path = tmp_path / 'episode_000000'
    assert custom(path)['complete'] == 'false'
    with Reader(path) as bag:
        assert bag.duration > 2.0e9
    episode = read_bag(path, ROBOT, 25.0, MAX_S, MAX_S)
    assert episode.success is None
    bench.record(0.3)  # and recording goes on behind it
    assert 'episode_000001' in bench.stop()[1]


def test_ctrl_c_keeps_what_was_recorded(bench: Bench, tmp_path: Path) -> None:
    """The bag is closed, without a label."""
    bench.robot.task.publish(String(data='move'))
    bench.record_to(tmp_path)
    bench.record(1.0)
    bench.end(signal.SIGINT)
    details = custom(tmp_path / 'episode_000000')
    assert details['complete'] == 'false'
    assert details['cut'] == 'the recorder was stopped'


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 30 MB; mounting it takes root."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=30m', 'tmpfs', str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip('no permission to mount a small disk')
    yield disk
    subprocess.run(['umount', '-l', str(disk)], check=False)


def test_a_full_disk_ends_the_episode_before_it_is_full(bench: Bench, small_disk: Path) -> None:
    """At 9 MB/s of the cameras the last 15 of 30 MB stay free, and what was written opens."""
    bench.robot.task.publish(String(data='move'))
    bench.record_to(small_disk, 'min_free_mb:=15.0')
    bench.record(0.0)
    bench.wait(lambda: bench.robot.status['state'] == 'idle')
    assert 'MB are free, limit 15 MB; make room' in bench.robot.status['last']
    free = os.statvfs(small_disk)
    assert free.f_bavail * free.f_frsize > 10e6
    path = small_disk / 'episode_000000'
    assert custom(path)['complete'] == 'false'
    with Reader(path) as bag:
        n = sum(1 for _ in bag.messages())
    audit = json.loads(custom(path)['audit'])
    assert n == sum(row['count'] for row in audit.values()) > 50
    started, message = bench.start()
    assert not started
    assert 'make room' in message


def test_a_stream_of_no_use_is_told_before_an_episode(bench: Bench, tmp_path: Path) -> None:
    """No demonstration begins while no command is sent; one that begins ends with a bad image."""
    robot = bench.robot
    robot.task.publish(String(data='move'))
    bench.record_to(tmp_path)
    robot.silent.add('/joint_command')
    time.sleep(MAX_S + 0.5)
    started, message = bench.start()
    assert not started
    assert '/joint_command is 2.' in message
    assert 'enable motion first' in message
    robot.silent.clear()
    bench.wait(lambda: bench.start()[0])
    robot.encoding = '16UC1'
    bench.wait(lambda: robot.status['state'] == 'idle')
    robot.encoding = 'rgb8'
    assert '/high/image_raw at' in robot.status['last']
    assert 'is depth, a colour image is expected' in custom(tmp_path / 'episode_000000')['invalid']

# SPDX-License-Identifier: Apache-2.0
"""The node that keeps the last seconds writes them when motion faults or is stopped."""

from __future__ import annotations

from collections.abc import Iterator
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy')

from cosmos_policy_ros.data.bags.files import open_bag
from cosmos_policy_ros.data.bags.message_ring import list_reports
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.image_decoder import image_of
from cosmos_policy_ros.nodes.black_box_node import BlackBoxNode
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import image_message, joint_state_message
from cosmos_policy_ros.ros.diagnostics import StatusReport
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import EXECUTOR_STATUS, IMAGE, JOINT_STATES, TASK
from node_bench import SteppedBench
import rclpy
from rclpy.node import Node
from ros_domains import ros_domain
from std_msgs.msg import String

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
PLAYING = ExecutorStatus('enabled', 'playing')
FAULT = ExecutorStatus('fault', 'fault', 'left/waist is 0.3 rad from its command')


class Robot(Node):
    """Publishes a camera at 25 Hz, an arm, a task and the status of an executor."""

    def __init__(self) -> None:
        """Start with an executor that plays."""
        super().__init__('robot')
        self.declare_parameter('speed_scale', 0.5)
        self.status = PLAYING
        camera, arm = ROBOT.cameras[0], ROBOT.arms[0]
        self._images = create_publisher(self, IMAGE.at(f'/{camera.topic.lstrip("/")}'))
        self._joints = create_publisher(
            self, JOINT_STATES.at(f'/{arm.joint_state_topic.lstrip("/")}')
        )
        self._task = create_publisher(self, TASK)
        self._task.publish(String(data='wave'))
        self._report = StatusReport(self, EXECUTOR_STATUS, 'command_executor')
        self.create_timer(0.04, self._publish)
        self.get_logger().info('the robot is there')

    def _publish(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        image = np.full((240, 320, 3), (200, 40, 40), np.uint8)
        self._images.publish(image_message(image, now_ns, 'high_optical_frame'))
        names = ROBOT.arms[0].state_joints
        self._joints.publish(joint_state_message(names, np.zeros(len(names)), now_ns))
        self._report.publish('ok', '', self.status)


class Bench(SteppedBench):
    """The robot beside a black box."""

    def __init__(self) -> None:
        """Start both."""
        self.robot, self.box = Robot(), BlackBoxNode()
        super().__init__(self.robot, self.box)
        self.spin(1.5)

    def fail(self, status: ExecutorStatus) -> None:
        """Let the executor report something, and then that it plays again."""
        self.robot.status = status
        self.spin(1.0)
        self.robot.status = PLAYING
        self.spin(0.5)


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Path]:
    """Return the folder of the reports of black boxes of the test."""
    folder = tmp_path / 'reports'
    with ros_domain():
        given = (f'robot:={ROBOT_FILE}', f'out:={folder}', 'after_s:=0.3', 'min_free_mb:=0.0')
        words = [word for g in given for word in ('-p', f'black_box:{g}')]
        rclpy.init(args=['--ros-args', *words])
        yield folder
        rclpy.try_shutdown()


def test_a_fault_is_written_with_what_came_before(reports: Path) -> None:
    """Images as JPEG five times a second, joints, the task, logs, parameters and the reason."""
    bench = Bench()
    bench.fail(FAULT)
    bench.wait(lambda: list_reports(reports))
    bench.spin(0.5)
    bench.close()
    (report,) = list_reports(reports)
    assert report.name.endswith('_left_waist_is_0_3_rad_from_its_command')
    with open_bag(report) as bag:
        images = [bag.decode(t, d) for t, _, d in bag.messages(['/high/image_raw/compressed'])]
        joints = list(bag.messages(['/follower_left/joint_states']))
        (task,) = [bag.decode(t, d).data for t, _, d in bag.messages(['/task'])]
        seconds = (bag.end_ns - bag.start_ns) * 1e-9
    assert task == 'wave'
    assert 0.5 * 5 * seconds < len(images) <= 5 * seconds + 1
    assert len(joints) > 2 * len(images)
    np.testing.assert_allclose(image_of(images[0])[120, 160], (200, 40, 40), atol=4)
    assert '[INFO]' in (report / 'log.txt').read_text(encoding='utf-8')
    parameters = yaml.safe_load((report / 'parameters.yaml').read_text(encoding='utf-8'))
    assert parameters['robot']['speed_scale'] == 0.5
    assert (report / 'reason.txt').read_text(encoding='utf-8').endswith(f'{FAULT.reason}\n')
    with pytest.raises(ValueError, match='invalid: kept for a report: left/waist'):
        read_bag(report, ROBOT, None)


def test_an_emergency_stop_is_written_once_for_each(reports: Path) -> None:
    """Not while it lasts; the next one again."""
    bench = Bench()
    stopped = ExecutorStatus('disabled', 'disabled', 'emergency stop', stopped=True)
    bench.fail(stopped)
    bench.wait(lambda: len(list_reports(reports)) == 1)
    bench.fail(stopped)
    bench.wait(lambda: len(list_reports(reports)) == 2)
    bench.close()


def test_an_emergency_stop_is_called_so_whatever_was_not_well_before(reports: Path) -> None:
    """It is latched while the arms brake, and their reason is still the one of before."""
    bench = Bench()
    bench.fail(ExecutorStatus('enabled', 'ended', 'action chunk ended', stopped=True))
    bench.wait(lambda: list_reports(reports))
    bench.close()
    (report,) = list_reports(reports)
    assert report.name.endswith('_emergency_stop')
    assert (report / 'reason.txt').read_text(encoding='utf-8').endswith(' emergency stop\n')


def test_a_folder_that_cannot_be_written_costs_one_line(
    reports: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The node goes on, and writes once it can."""
    reports.write_text('no folder', encoding='utf-8')
    bench = Bench()
    bench.fail(FAULT)
    told = [line for line in capfd.readouterr().err.splitlines() if 'are not kept' in line]
    assert len(told) == 1
    assert str(reports) in told[0]
    reports.unlink()
    bench.fail(FAULT)
    bench.wait(lambda: list_reports(reports))
    bench.close()


def test_a_disk_that_becomes_full_costs_one_line(
    reports: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there was room at the begin."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(BagWriter, 'write', refuse)
    bench = Bench()
    bench.fail(FAULT)
    bench.wait(lambda: bench.box._writer and not bench.box._writer.is_alive())
    bench.close()
    told = [line for line in capfd.readouterr().err.splitlines() if 'are not kept' in line]
    assert len(told) == 1
    assert 'the disk is full' in told[0]
    assert list_reports(reports) == []


def test_a_stop_just_before_the_end_is_written(reports: Path) -> None:
    """People press Ctrl-C after the emergency stop."""
    bench = Bench()
    bench.robot.status = FAULT
    bench.wait(lambda: not bench.box._well)
    bench.close()
    assert len(list_reports(reports)) == 1


def test_an_end_while_nodes_are_asked_loses_no_report(reports: Path) -> None:
    """One that does not answer takes a second."""
    bench = Bench()
    bench.robot.status = FAULT
    bench.wait(lambda: bench.box._kept)
    assert list_reports(reports) == []
    bench.close()
    assert len(list_reports(reports)) == 1

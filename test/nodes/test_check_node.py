# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy check`` against fake arms and cameras, well and wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy')

from cosmos_policy_ros.cli.check import Check, run
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import image_message, joint_state_message
from cosmos_policy_ros.ros.stand_ins.parameters import serve_parameters
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_domains import ros_domain
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String

pytestmark = pytest.mark.patient

ROOT = Path(__file__).parents[2]
ROBOT_FILE = ROOT / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
LEFT = ROBOT.arms[0]
LIMIT = '<limit lower="-2.5" upper="3.2" velocity="3.2"/>'
URDF = ''.join(f'<joint name="{j}" type="revolute">{LIMIT}</joint>' for j in LEFT.joints)
CHECKPOINT = ROOT / 'models' / 'aloha_sim'


class FakeRobot(Node):
    """Arms that stand and cameras that see noise."""

    def __init__(self, wrong: bool) -> None:
        """Publish a little faster than nominal; what is wrong is wrong in several ways."""
        super().__init__('fake_robot')
        self.wrong, self.rng = wrong, np.random.default_rng(0)
        self._states = {}
        for arm in ROBOT.arms:
            joints = [*arm.joints, 'left_finger']
            self._states[arm.name] = self.create_publisher(JointState, arm.joint_state_topic, 5)
            self.create_subscription(Float64MultiArray, arm.command_topic, print, 10)
            order = joints[::-1] if wrong else joints
            serve_parameters(self, f'/{arm.name}_controller', {'joints': order})
        topics = [camera.topic for camera in ROBOT.cameras]
        if wrong:
            topics[0] = '/high/color/image_raw'  # another name than in the robot file
        self._images = [self.create_publisher(Image, topic, 5) for topic in topics]
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._description = self.create_publisher(
            String, '/follower_left/robot_description', latched
        )
        if wrong:
            self._description.publish(String(data=f'<robot>{URDF}</robot>'))
        self.create_timer(0.04, self._publish_joints)
        self.create_timer(0.1, self._publish_images)

    def _publish_joints(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        for arm in ROBOT.arms:
            names = [*arm.joints, 'left_finger']
            positions = [*arm.start[:6], 0.03]
            if self.wrong and arm is LEFT:
                names, positions = names[1:], positions[1:]
            self._states[arm.name].publish(joint_state_message(names, positions, now_ns))

    def _publish_images(self) -> None:
        width = 640 if self.wrong else 320
        for publisher in self._images:
            image = self.rng.integers(0, 256, (240, width, 3), np.uint8)
            now_ns = self.get_clock().now().nanoseconds
            publisher.publish(image_message(image, now_ns, 'optical'))


@pytest.fixture
def domain() -> Iterator[int]:
    """Return the domain on which the fake robot and the check are."""
    with ros_domain() as number:
        yield number


def check(tmp_path: Path, domain: int, wrong: bool) -> tuple[int, dict[tuple[str, str], Any]]:
    """Return the exit status of the command, and its findings by subject and check."""
    rclpy.init()
    bench = ThreadedBench(FakeRobot(wrong))
    file = tmp_path / 'check.json'
    slow = yaml.safe_load(ROBOT_FILE.read_text(encoding='utf-8'))
    slow['joint_state_rate_hz'] = 20.0  # what a busy machine can do in Python
    for camera in slow['cameras']:
        camera['rate_hz'] = 8.0
    robot_file = tmp_path / 'robot.yaml'
    robot_file.write_text(yaml.safe_dump(slow), encoding='utf-8')
    status = run(Check(robot_file, checkpoint=CHECKPOINT, json=file, domain=domain))
    bench.close()
    report = json.loads(file.read_text(encoding='utf-8'))
    return status, {(f['subject'], f['check']): f for f in report['findings']}


def test_robot_as_in_the_file_has_nothing_wrong(tmp_path: Path, domain: int) -> None:
    """Exit status 0; a missing description is only a warning."""
    status, found = check(tmp_path, domain, wrong=False)
    assert {key: f for key, f in found.items() if f['level'] == 'error'} == {}
    assert status == 0
    assert found['follower_left', 'robot_description']['level'] == 'warning'
    assert found['/follower_left_controller/commands', 'driver forward']['level'] == 'ok'
    assert found[str(CHECKPOINT), 'checkpoint']['level'] == 'ok'


def test_wrong_robot_has_every_difference_with_what_to_do(tmp_path: Path, domain: int) -> None:
    """Exit status 1; topics, joints, sizes, order and limits, each by its own name."""
    status, found = check(tmp_path, domain, wrong=True)
    assert status == 1
    camera = found['/high/image_raw', 'publisher']
    assert camera['found'] == 'none'
    assert camera['advice'] == 'is it /high/color/image_raw? then write that into the robot file'
    assert [check for subject, check in found if subject == '/high/image_raw'] == ['publisher']
    joints = found['/follower_left/joint_states', 'content']
    assert "lacks the joints ['waist']" in joints['found']
    size = found['/left_wrist/image_raw', 'content']
    assert 'sends 640x240 images, the robot file has 320x240' in size['found']
    driver = found['/follower_left_controller/commands', 'driver forward']
    assert "commands the joints ['left_finger', 'wrist_rotate'" in driver['found']
    limits = found['follower_left/waist', 'limits']
    assert limits['expected'] == 'inside of -2.5 to 3.2 rad, 3.2 rad/s'
    assert limits['level'] == 'error'
    assert found['follower_left/shoulder', 'limits']['level'] == 'ok'

# SPDX-License-Identifier: Apache-2.0
"""The executor as a process that follows fake leaders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import os
from pathlib import Path
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy')

from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import leader_robot, read_robot
from cosmos_policy_ros.ros.convert import joint_state_message
from cosmos_policy_ros.ros.stand_ins.parameters import serve_parameters
from diagnostic_msgs.msg import DiagnosticArray
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from ros_domains import ros_domain, wait_for
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

MAX_AGE_S = 1.5  # more than this process may pause on a busy machine


def write_robot(folder: Path) -> Path:
    """Return the simulated robot's file with the leaders of the real one."""
    files = [share_path('config', 'robots', f'{name}.yaml') for name in ('aloha_sim', 'aloha')]
    robot, aloha = (yaml.safe_load(file.read_text(encoding='utf-8')) for file in files)
    for arm, real in zip(robot['arms'], aloha['arms'], strict=True):
        arm['leader'] = real['leader']
    path = folder / 'robot.yaml'
    path.write_text(yaml.safe_dump(robot), encoding='utf-8')
    return path


class FakeArms(Node):
    """Followers that do at once what they are told, and leaders that stand where a test says."""

    def __init__(self, robot_file: Path) -> None:
        """Publish all joint states at 50 Hz."""
        super().__init__('fake_arms')
        self.robot_file = robot_file
        robot = read_robot(robot_file)
        self.followers = {arm.name: list(arm.start) for arm in robot.arms}
        self.waist, self.gripper, self.silent = 0.0, 0.8, False  # of both leaders; rad
        self.n_commands = 0
        self.status: dict[str, str] = {}
        self.enable = self.create_client(SetBool, 'command_executor/enable')
        self._publishers_of = []
        for arm, leader in zip(robot.arms, leader_robot(robot).arms, strict=True):
            topics = (arm.joint_state_topic, leader.joint_state_topic)
            self._publishers_of.append(
                [self.create_publisher(JointState, t, qos_profile_sensor_data) for t in topics]
            )
            callback = self._make_callback(arm.name)
            self.create_subscription(Float64MultiArray, arm.command_topic, callback, 10)
            joints = {'joints': [*arm.joints, 'left_finger']}
            serve_parameters(self, f'/{arm.name}_controller', joints)
        self._arms = robot.arms
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.create_timer(0.02, self._publish)

    def _make_callback(self, name: str) -> Callable[[Float64MultiArray], None]:
        def callback(message: Float64MultiArray) -> None:
            self.n_commands += 1
            self.followers[name] = list(message.data)

        return callback

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.status = {v.key: v.value for v in message.status[0].values}

    def _publish(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        for arm, (follower, leader) in zip(self._arms, self._publishers_of, strict=True):
            pose = self.followers[arm.name]
            names = [*arm.joints, 'left_finger']
            follower.publish(joint_state_message(names, [*pose[:6], 0.03], now_ns))
            if not self.silent:
                leads = [self.waist, *arm.start[1:6], self.gripper]
                leader.publish(joint_state_message([*arm.joints, 'gripper'], leads, now_ns))


@pytest.fixture(scope='module')
def arms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeArms]:
    """Return fake arms beside an executor that follows leaders."""
    robot_file = write_robot(tmp_path_factory.mktemp('robot'))
    given = [f'robot:={robot_file}', 'teleop:=true', 'discovery_s:=0.0', 'approach_speed:=1.0']
    given += [f'max_joint_age_s:={MAX_AGE_S}', 'fault_joint_age_s:=60.0', 'max_gap_area:=10.0']
    words = [word for p in given for word in ('-p', p)]
    node = [sys.executable, '-m', 'cosmos_policy_ros.nodes.command_executor', '--ros-args']
    with ros_domain():
        rclpy.init()
        arms = FakeArms(robot_file)
        bench = ThreadedBench(arms)
        process = subprocess.Popen([*node, *words], env=os.environ)
        wait_for(lambda: arms.status and arms.enable.service_is_ready())
        yield arms
        process.kill()
        process.wait(20)
        bench.close()


def enable(arms: FakeArms) -> None:
    """Enable once all joint states have been heard."""

    def accepted() -> bool:
        future = arms.enable.call_async(SetBool.Request(data=True))
        wait_for(future.done)
        return bool(future.result().success)

    wait_for(accepted)


def test_arms_are_not_moved_by_name_beside_leaders(arms: FakeArms, tmp_path: Path) -> None:
    """Enabling this executor would move them to the leaders, whose grippers are closed."""
    arms.waist, arms.gripper = 0.4, -0.0552
    arms.create_subscription(JointTrajectory, '/policy/action_chunk', lambda _: None, 1)
    command = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()', 'arms']
    command += ['home', '--robot', str(arms.robot_file), '--yes', '--out', str(tmp_path / 'out')]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, arms.n_commands) == (1, 0)
    assert 'follows the leader arms and plays no chunks' in done.stderr
    arms.waist, arms.gripper = 0.0, 0.8


def test_followers_go_where_closed_fresh_enabled_leaders_are(arms: FakeArms) -> None:
    """Disabled: nothing. Open grippers: hold. Closed: slowly there. Stale: hold. One life."""
    arms.waist = 0.4
    time.sleep(1.0)
    assert arms.n_commands == 0

    enable(arms)
    wait_for(lambda: 'close the leader grippers' in arms.status['reason'])
    assert arms.status['mode'] == 'hold'
    np.testing.assert_allclose([p[0] for p in arms.followers.values()], 0.0, atol=1e-3)

    arms.gripper = -0.0552
    wait_for(lambda: arms.status['reason'] == 'approaching the leaders')
    wait_for(lambda: all(abs(p[0] - 0.4) < 1e-4 for p in arms.followers.values()))
    wait_for(lambda: arms.status['mode'] == 'playing')

    arms.gripper = 0.8298  # fully open: the controller of the simulated finger is sent 0.058 m
    wait_for(lambda: all(abs(p[6] - 0.058) < 1e-4 for p in arms.followers.values()))

    arms.silent = True
    wait_for(lambda: 'leader joint states are' in arms.status['reason'])
    assert arms.status['mode'] == 'hold'
    assert arms.status['state'] == 'enabled'

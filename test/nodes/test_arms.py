# SPDX-License-Identifier: Apache-2.0
"""Commands leave in the units and messages of each driver."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.align import arm_pose
from cosmos_policy_ros.robot import (
    ArmSpec,
    DRIVERS as ARM_DRIVERS,
    GRIPPER_DRIVERS,
    read_robot,
)
from cosmos_policy_ros.ros import arms
from cosmos_policy_ros.ros.arms import command_topics, DRIVERS, open_arms
from cosmos_policy_ros.types import ConfigError

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
ARM = ROBOT.arms[0]
POSE = np.array([0.1, -0.9, 1.1, 0.0, -0.3, 0.5, 0.25], dtype=np.float32)
GRIP_M = 0.01844 + 0.25 * (0.058 - 0.01844)


class Wire:
    """Stands in for a node: keeps what was published on each topic."""

    def __init__(self) -> None:
        """Start with nothing sent."""
        self.sent: dict[str, list[object]] = {}
        self.types: dict[str, type] = {}

    def get_clock(self) -> SimpleNamespace:
        """Return a clock that stands at 3 s."""
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=3_000_000_000))

    def create_publisher(self, kind: type, topic: str, _qos: object) -> SimpleNamespace:
        """Return a publisher that keeps its messages."""
        self.types[topic] = kind
        return SimpleNamespace(publish=self.sent.setdefault(topic, []).append)


def send(arm: ArmSpec) -> Wire:
    """Send one pose and return what went out."""
    wire = Wire()
    for leave in open_arms(wire, [arm], 0.02)(POSE):
        leave()
    return wire


def test_forward_driver_gets_joints_and_gripper_in_controller_units() -> None:
    """One Float64MultiArray: radians, then the finger position in metres."""
    (message,) = send(ARM).sent['/follower_left_controller/commands']
    assert message.data.tolist() == pytest.approx([0.1, -0.9, 1.1, 0.0, -0.3, 0.5, GRIP_M])


def test_trajectory_driver_gets_one_point_due_in_one_period() -> None:
    """Stamp 0 means on arrival; the gripper's joint comes last."""
    arm = replace(ARM, driver='trajectory', command_topic='/arm_controller/joint_trajectory')
    (message,) = send(arm).sent['/arm_controller/joint_trajectory']
    assert list(message.joint_names) == [*ARM.joints, 'left_finger']
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)
    (point,) = message.points
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 20_000_000)
    assert point.positions.tolist() == pytest.approx([0.1, -0.9, 1.1, 0.0, -0.3, 0.5, GRIP_M])


def test_joint_state_driver_gets_names_and_the_constants_of_the_robot_file() -> None:
    """Piper reads the seventh velocity as a speed in percent, the seventh effort as a force."""
    arm = replace(
        ARM,
        driver='joint_state',
        command_topic='/left/joint_ctrl_single',
        command_velocities=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 60.0),
        command_efforts=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5),
    )
    (message,) = send(arm).sent['/left/joint_ctrl_single']
    assert message.name == [*ARM.joints, 'left_finger']
    assert message.position.tolist() == pytest.approx([0.1, -0.9, 1.1, 0.0, -0.3, 0.5, GRIP_M])
    assert message.velocity.tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 60.0]
    assert message.effort.tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5]
    assert message.header.stamp.sec == 3


def test_joint_state_without_constants_has_positions_only() -> None:
    """crisp_controllers and Isaac Sim take positions by name; zeros would be a speed of zero."""
    (message,) = send(replace(ARM, driver='joint_state')).sent[ARM.command_topic]
    assert (len(message.velocity), len(message.effort)) == (0, 0)


def test_gripper_with_a_driver_of_its_own_leaves_the_joints_to_the_arm() -> None:
    """A JointTrajectoryController refuses a message with a joint that is not its own."""
    gripper = replace(ARM.gripper, driver='forward', command_topic='/gripper_controller/commands')
    arm = replace(ARM, driver='trajectory', command_topic='/arm/joint_trajectory', gripper=gripper)
    sent = send(arm).sent
    (joints,), (hand,) = sent['/arm/joint_trajectory'], sent['/gripper_controller/commands']
    assert list(joints.joint_names) == list(ARM.joints)
    (point,) = joints.points
    assert point.positions.tolist() == pytest.approx([0.1, -0.9, 1.1, 0.0, -0.3, 0.5])
    assert hand.data.tolist() == pytest.approx([GRIP_M])
    assert command_topics([arm]) == list(sent)


def test_gripper_is_commanded_under_its_own_joint_name() -> None:
    """Measured at the finger, commanded at the motor."""
    gripper = replace(
        ARM.gripper,
        driver='trajectory',
        command_topic='/gripper/joint_trajectory',
        command_joint='gripper_motor',
    )
    sent = send(replace(ARM, gripper=gripper)).sent
    (message,) = sent['/gripper/joint_trajectory']
    assert list(message.joint_names) == ['gripper_motor']


def test_arm_without_a_gripper_gets_its_joints_only() -> None:
    """Nothing stands in for what is not there."""
    arm = replace(ARM, gripper=None, leader=None)
    wire = Wire()
    for leave in open_arms(wire, [arm, ROBOT.arms[1]], 0.02)(np.arange(13, dtype=np.float32)):
        leave()
    (bare,) = wire.sent['/follower_left_controller/commands']
    (whole,) = wire.sent['/follower_right_controller/commands']
    assert bare.data.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert whole.data.tolist()[:6] == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]


@dataclass
class Command:
    """Has the fields of both interbotix_xs_msgs commands."""

    name: str
    cmd: object


@pytest.fixture
def interbotix_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the message package of Interbotix, which is not installed here."""
    package, messages = ModuleType('interbotix_xs_msgs'), ModuleType('interbotix_xs_msgs.msg')
    messages.JointGroupCommand = messages.JointSingleCommand = Command
    monkeypatch.setitem(sys.modules, 'interbotix_xs_msgs', package)
    monkeypatch.setitem(sys.modules, 'interbotix_xs_msgs.msg', messages)


@pytest.mark.usefixtures('interbotix_messages')
def test_interbotix_driver_gets_group_and_gripper() -> None:
    """Group ``arm`` on joint_group, single ``gripper`` in its own radians on joint_single."""
    gripper = replace(ARM.gripper, command_closed=0.6197, command_open=1.6214)
    arm = replace(ARM, driver='interbotix', command_topic='/follower_left', gripper=gripper)
    sent = send(arm).sent
    (group,) = sent['/follower_left/commands/joint_group']
    (single,) = sent['/follower_left/commands/joint_single']
    assert (group.name, single.name) == ('arm', 'gripper')
    assert group.cmd == pytest.approx([0.1, -0.9, 1.1, 0.0, -0.3, 0.5])
    assert single.cmd == pytest.approx(0.6197 + 0.25 * (1.6214 - 0.6197))
    assert command_topics([arm]) == list(sent)


def test_missing_interbotix_messages_are_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package and where it comes from are named."""
    monkeypatch.setitem(sys.modules, 'interbotix_xs_msgs.msg', None)
    with pytest.raises(ConfigError, match=r'interbotix_xs_msgs.*build it'):
        open_arms(Wire(), [replace(ARM, driver='interbotix')], 0.02)


@pytest.mark.parametrize('opening', [0.0, 0.3, 1.0])
def test_command_and_state_of_a_gripper_are_inverse_where_scales_agree(opening: float) -> None:
    """What is commanded comes back as the same opening."""
    metres = ARM.gripper.to_command(opening)
    names, numbers = [*ARM.joints, 'left_finger'], [0.0] * 6 + [metres]
    pose = arm_pose(ARM, SimpleNamespace(name=names, position=numbers))
    assert pose[-1] == pytest.approx(opening, abs=1e-6)


def test_every_driver_is_one_file_and_one_row() -> None:
    """A file without its row could not be chosen, a row without its file would not start."""
    files = {path.stem for path in Path(arms.__file__).parent.glob('*.py')}
    assert (
        files - {'__init__', 'controller', 'driver', 'goals'}
        == set(DRIVERS)
        == set(GRIPPER_DRIVERS)
    )
    assert set(ARM_DRIVERS) < set(DRIVERS)


@pytest.mark.usefixtures('interbotix_messages')
def test_every_driver_publishes_exactly_the_topics_that_it_names() -> None:
    """The search for a second stack looks at these, so a forgotten one would let two command."""
    for driver in ARM_DRIVERS:
        arm = replace(ARM, driver=driver, command_topic='/somewhere')
        wire = send(arm)
        assert {topic: len(sent) for topic, sent in wire.sent.items()} == dict.fromkeys(
            command_topics([arm]), 1
        )


def test_every_arm_gets_its_part_of_the_positions() -> None:
    """In action order, each with its own gripper."""
    wire = Wire()
    for leave in open_arms(wire, ROBOT.arms, 0.02)(np.arange(14, dtype=np.float32) / 14):
        leave()
    first = {topic: message.data[0] for topic, (message,) in wire.sent.items()}
    assert first == {
        '/follower_left_controller/commands': 0.0,
        '/follower_right_controller/commands': 0.5,
    }


@pytest.mark.usefixtures('interbotix_messages')
def test_interbotix_gripper_of_its_own_uses_the_single_joint_only() -> None:
    """The group of six belongs to the arm's driver then."""
    gripper = replace(ARM.gripper, driver='interbotix', command_topic='/follower_left')
    wire = send(replace(ARM, gripper=gripper))
    assert set(wire.sent) == {
        '/follower_left_controller/commands',
        '/follower_left/commands/joint_single',
    }

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
from cosmos_policy_ros.robot import ArmSpec, read_robot
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
    monkeypatch.setitem(sys.modules, 'interbotix_xs_msgs', None)
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
    assert files - {'__init__', 'driver'} == set(DRIVERS)


@pytest.mark.usefixtures('interbotix_messages')
def test_every_driver_publishes_exactly_the_topics_that_it_names() -> None:
    """The search for a second stack looks at these, so a forgotten one would let two command."""
    for driver in DRIVERS:
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

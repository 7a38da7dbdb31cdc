# SPDX-License-Identifier: Apache-2.0
"""The policy of SROS2: who may do what, by the table of topics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.node_list import EXECUTOR, node_command
from cosmos_policy_ros.stack.security import permissions, write_policy
import pytest

FOLDER = Path(__file__).parents[2] / 'config' / 'robots'
ALOHA = read_robot(FOLDER / 'aloha.yaml')
ALLOWED = [
    (enclave.get('path'), group.tag, dict(group.attrib), [item.text for item in group])
    for enclave in ElementTree.fromstring(write_policy(ALOHA)).iter('enclave')
    for group in enclave.iter()
    if 'ALLOW' in group.attrib.values()
]


def who_may(tag: str, verb: str, name: str) -> list[str | None]:
    """Return the enclaves that may do something."""
    return [e for e, t, verbs, names in ALLOWED if t == tag and verb in verbs and name in names]


def test_only_the_executor_may_command_the_arms() -> None:
    """Arms and grippers alike."""
    for topic in ('joint_group', 'joint_single'):
        name = f'/follower_left/commands/{topic}'
        assert who_may('topics', 'publish', name) == ['/cosmos_policy/command_executor']


def test_motors_are_set_by_programs_of_the_stack_alone() -> None:
    """The check opens what it shares with the executor, and sets nothing."""
    assert who_may('services', 'request', '/follower_left/set_motor_registers') == [
        '/cosmos_policy/command_executor', '/cosmos_policy/check', '/cosmos_policy/arms',
    ]  # fmt: skip


def test_chunks_come_from_those_who_plan_or_play_them() -> None:
    """A stranger's are not even received."""
    assert who_may('topics', 'publish', '/policy/action_chunk') == [
        '/cosmos_policy/planner', '/cosmos_policy/replay', '/cosmos_policy/arms',
    ]  # fmt: skip


@pytest.mark.parametrize('node', ['inference', 'command_executor', 'recorder', 'check'])
def test_compressed_images_reach_who_reads_raw_ones(node: str) -> None:
    """The robot file says how the images of a camera come."""
    [first, *others] = ALOHA.cameras
    robot = replace(ALOHA, cameras=(replace(first, transport='compressed'), *others))
    assert f'{first.topic}/compressed' in permissions(node, robot)['topic', 'subscribe']


def test_a_person_may_stop_enable_look_and_set_parameters_but_not_move() -> None:
    """From a terminal."""
    may = permissions('person', ALOHA)
    assert may['topic', 'publish'] == {
        '/rosout', '/parameter_events', '/task', '/command_executor/stop',
    }  # fmt: skip
    assert {'/command_executor/enable', '/planner/activate'} < may['service', 'request']
    assert '/planner/set_parameters' in may['service', 'request']
    assert '/cam_high/camera/color/image_raw' in may['topic', 'subscribe']


@pytest.mark.parametrize(
    ('robot', 'topic'),
    [
        ('openarm', '/left_forward_position_controller/commands'),
        ('piper', '/left/joint_ctrl_single'),
        ('ur5e', '/forward_position_controller/commands'),
    ],
)
def test_other_drivers_have_their_own_topics(robot: str, topic: str) -> None:
    """As the robot file names them."""
    spec = read_robot(FOLDER / f'{robot}.yaml')
    sent = permissions('command_executor', spec)['topic', 'publish']
    assert topic in sent
    assert not any('<' in name for name in sent)


def test_a_stack_in_a_namespace_has_its_rights_there() -> None:
    """But for what ROS 2 and tools look for under one name."""
    robot = read_robot(FOLDER / 'aloha.yaml', '/robot1')
    [planner] = [
        enclave.find('profiles/profile')
        for enclave in ElementTree.fromstring(write_policy(robot, '/robot1')).iter('enclave')
        if enclave.get('path') == '/cosmos_policy/planner'
    ]
    assert planner is not None
    assert (planner.get('ns'), planner.get('node')) == ('/robot1', 'planner')
    names = {item.text for group in planner for item in group}
    assert {
        '/robot1/policy/query', '/robot1/planner/activate', '/robot1/planner/get_parameters',
    } <= names  # fmt: skip
    nodes = ('planner', 'inference', 'command_executor', 'recorder', 'black_box', 'person')
    rights = [permissions(node, robot, '/robot1') for node in nodes]
    all_names = {name for may in rights for names in may.values() for name in names}
    assert {name for name in all_names if not name.startswith('/robot1/')} == {
        '/rosout', '/parameter_events', '/clock', '/diagnostics',
    }  # fmt: skip
    assert '/robot1/policy/future/cam_high' in all_names
    assert '/robot1/follower_left/commands/joint_group' in all_names


def test_nodes_start_in_their_enclave() -> None:
    """It is used as soon as security is switched on."""
    command = node_command(EXECUTOR, {})
    assert command[command.index('--enclave') + 1] == '/cosmos_policy/command_executor'

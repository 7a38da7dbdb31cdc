# SPDX-License-Identifier: Apache-2.0
"""Contracts, bags and data sets of rosetta are read, and what they do not say is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
import sys
from typing import Any

from command_line import refused
from cosmos_policy_ros.cli.contract import Contract as Command, run
from cosmos_policy_ros.cli.reading import reading_of, ReadingOptions
from cosmos_policy_ros.data.bags.overview import read_overview
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.episode_edits import list_labels, split, trim
from cosmos_policy_ros.data.episodes import list_episodes
from cosmos_policy_ros.data.lerobot.reader import read_lerobot
from cosmos_policy_ros.data.lerobot.writer import LeRobotWriter
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.data.rosetta.contract import Contract, parse_contract, read_contract
from cosmos_policy_ros.data.rosetta.contract_writer import write_contract
from cosmos_policy_ros.data.rosetta.data_set import rows_of_robot
from cosmos_policy_ros.data.rosetta.robot_draft import Draft, draft_robot
from cosmos_policy_ros.image_decoder import COMPRESSED_IMAGE, IMAGE
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import ArmSpec, read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
from other_recorders import (
    arm_pose,
    brightness,
    JOINT_STATE,
    joint_state,
    JOINTS,
    jpeg_image,
    recording,
    Sent,
    START_NS,
    STRING,
    T,
    without,
    write_bag_of,
)
import pytest
from samples import ROBOT, sample_episode
import yaml

NUMBERS = 'std_msgs/msg/Float64MultiArray'
HEAD = 'robot_interface: ros2\nfps: 50\n'
ALIGN = 'align: {strategy: hold, timeline: receive}'
# One arm with its gripper in one message, commanded by another one, a raw and a compressed camera.
SINGLE = f"""
robot_type: bench_arm
{HEAD}
x-qos: &fast {{reliability: best_effort, depth: 5}}
observations:
  observation.images.front:
    channel: {{topic: /front/image_raw, type: sensor_msgs/msg/Image, qos: *fast}}
    {ALIGN}
    apply: [resize: [240, 320]]
  observation.images.wrist.inner:
    channel: {{topic: /wrist/image_raw/compressed, type: sensor_msgs/msg/CompressedImage}}
    {ALIGN}
    apply: [resize: [240, 320]]
  observation.state:
    channel: {{topic: /arm/state, type: sensor_msgs/msg/JointState, dtype: float64}}
    {ALIGN}
    select: [position.base, position.elbow, position.gripper]
    apply: [rad2deg]
  observation.load:
    channel: {{topic: /arm/state, type: sensor_msgs/msg/JointState}}
    {ALIGN}
    select: [effort.base, effort.elbow]
actions:
  action:
    channel: {{topic: /arm/target, type: sensor_msgs/msg/JointState, safety: hold}}
    {ALIGN}
    select: [position.base, position.elbow, position.gripper]
    apply: [rad2deg, clamp: {{min: -90, max: 90}}]
teleop:
  input:
    - target: /arm/target
      channel: {{topic: /hand/state, type: sensor_msgs/msg/JointState}}
      {ALIGN}
      select: [position.base, position.elbow, position.gripper]
adjunct:
  - channel: {{topic: /tf, type: tf2_msgs/msg/TFMessage}}
"""
# Two arms in one message, named by their joints; trajectories for the arms and for the grippers.
SHARED = f"""
robot_type: two_arms
{HEAD}
observations:
  observation.state:
    channel: {{topic: /joint_states, type: sensor_msgs/msg/JointState}}
    {ALIGN}
    select: [right_j1, right_j2, left_j1, left_j2, position.right_jaw, position.left_jaw]
actions:
  action:
    - channel: {{topic: /right/traj, type: trajectory_msgs/msg/JointTrajectory}}
      {ALIGN}
      select: [positions.right_j1, positions.right_j2]
    - channel: {{topic: /right_jaw/cmd, type: std_msgs/msg/Float64MultiArray}}
      {ALIGN}
      select: [opening]
    - channel: {{topic: /left/traj, type: trajectory_msgs/msg/JointTrajectory}}
      {ALIGN}
      select: [positions.left_j1, positions.left_j2]
    - channel: {{topic: /left_jaw/cmd, type: std_msgs/msg/Float64MultiArray}}
      {ALIGN}
      select: [opening]
  action.base:
    channel: {{topic: /cmd_vel, type: geometry_msgs/msg/Twist}}
    {ALIGN}
    select: [linear.x]
"""
ARM_JOINTS = ', '.join(f'position.{joint}' for joint in (*JOINTS, 'left_finger'))
# The streams of ``ROBOT`` on other topics, with labels.
LAB = f"""
robot_type: aloha_sim
{HEAD}
observations:
  observation.images.high:
    channel: {{topic: /lab/top/compressed, type: sensor_msgs/msg/CompressedImage}}
    {ALIGN}
    apply: [resize: [240, 320]]
  observation.state:
    - channel: {{topic: /lab/follower_left/state, type: sensor_msgs/msg/JointState}}
      {ALIGN}
      select: [{ARM_JOINTS}]
    - channel: {{topic: /lab/follower_right/state, type: sensor_msgs/msg/JointState}}
      {ALIGN}
      select: [{ARM_JOINTS}]
actions:
  action:
    - channel: {{topic: /lab/follower_left/cmd, type: std_msgs/msg/Float64MultiArray}}
      {ALIGN}
      select: [{ARM_JOINTS}]
    - channel: {{topic: /lab/follower_right/cmd, type: std_msgs/msg/Float64MultiArray}}
      {ALIGN}
      select: [{ARM_JOINTS}]
tasks:
  task:
    channel: {{topic: /lab/words, type: std_msgs/msg/String}}
rewards:
  next.reward:
    channel: {{topic: /lab/reward, type: std_msgs/msg/Float64, dtype: float64}}
    {ALIGN}
"""
RECORDED = {'lerobot.operator_prompt': 'fold the towel', 'rosetta.contract_yaml': LAB}
HIGH = '/high/image_raw'


def contract_of(text: str) -> Contract:
    """Return the contract of a YAML text."""
    return parse_contract(yaml.safe_load(text), 'contract')


def changed(text: str, *path: str | int, value: Any) -> dict[Any, Any]:
    """Return the mapping of a text with one value changed."""
    data = yaml.safe_load(text)
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return dict(data)


def arms_of(draft: Draft) -> list[dict[str, Any]]:
    """Return the arms in the text of a draft."""
    return list(yaml.safe_load(draft.text)['arms'])


# Robot files of contracts


def test_streams_of_a_contract_are_those_of_its_robot_file() -> None:
    """One arm, its gripper and its leader; a camera keeps its transport."""
    draft = draft_robot(contract_of(SINGLE))
    robot = yaml.safe_load(draft.text)
    assert (robot['name'], robot['control_rate_hz']) == ('bench_arm', 50.0)
    (arm,) = robot['arms']
    assert (arm['name'], arm['driver'], arm['command_topic']) == (
        'follower', 'joint_state', '/arm/target',
    )  # fmt: skip
    assert (arm['joint_state_topic'], arm['joints']) == ('/arm/state', ['base', 'elbow'])
    assert arm['gripper']['state_joint'] == 'gripper'
    assert 'driver' not in arm['gripper']  # its command leaves with the joints
    assert arm['leader']['joint_state_topic'] == '/hand/state'
    assert arm['leader']['joints'] == ['base', 'elbow']
    front, wrist = robot['cameras']
    assert (front['name'], front['topic']) == ('front', '/front/image_raw')
    assert (wrist['name'], wrist['topic']) == ('wrist_inner', '/wrist/image_raw')
    assert wrist['transport'] == 'compressed'
    assert draft.remarks == (
        'observation.load: /arm/state, sensor_msgs/msg/JointState, is left out; a robot file has '
        'the joints of arms alone',
    )


def test_what_a_contract_has_no_word_for_is_asked_for_in_one_line(tmp_path: Path) -> None:
    """Nothing reads the file, and so nothing moves, before all of it is filled in."""
    file = tmp_path / 'robot.yaml'
    file.write_text(draft_robot(contract_of(SINGLE)).text)
    with pytest.raises(ConfigError) as caught:
        read_robot(file)
    assert str(caught.value) == (
        f'{file}: 21 values are still to be filled in, where it has ???: joint_state_rate_hz, '
        'arms[0].lower, arms[0].upper, arms[0].max_speed, arms[0].max_acceleration, '
        'arms[0].start, arms[0].gripper.state_closed, arms[0].gripper.state_open, '
        'arms[0].gripper.command_closed, arms[0].gripper.command_open, '
        'arms[0].gripper.max_speed, arms[0].gripper.max_acceleration, '
        'arms[0].leader.gripper_closed, arms[0].leader.gripper_open, '
        'arms[0].leader.start_below, cameras[0].width, cameras[0].height, cameras[0].rate_hz, '
        'cameras[1].width, cameras[1].height, cameras[1].rate_hz'
    )


def filled(text: str) -> str:
    """Return a draft with numbers for what it leaves open."""
    numbers: dict[str, Any] = {
        'lower': [-1.0, -1.0], 'upper': [1.0, 1.0], 'max_speed': [2.0, 2.0],
        'max_acceleration': [9.0, 9.0], 'start': [0.0, 0.0, 0.5], 'state_closed': 0.0,
        'state_open': 1.0, 'command_closed': 0.0, 'command_open': 1.0, 'gripper_closed': 0.0,
        'gripper_open': 1.0, 'start_below': 0.1, 'joint_state_rate_hz': 100.0, 'width': 320,
        'height': 240, 'rate_hz': 25.0,
    }  # fmt: skip
    lines = []
    hand = False
    for line in text.splitlines():
        key, _, value = line.strip().removeprefix('- ').partition(':')
        hand = key == 'gripper' or (hand and line.startswith('      '))
        number = 3.0 if hand and key.startswith('max_') else numbers.get(key)
        lines.append(f'{line.partition("???")[0]}{number}' if value.startswith(' ???') else line)
    return '\n'.join(lines)


def test_draft_that_is_filled_in_is_a_robot_file(tmp_path: Path) -> None:
    """With the numbers behind the keys, and nothing else changed."""
    file = tmp_path / 'robot.yaml'
    file.write_text(filled(draft_robot(contract_of(SINGLE)).text))
    robot = read_robot(file)
    assert robot.joint_names == ('follower/base', 'follower/elbow', 'follower/gripper')
    assert [o.joints for o in robot.arms[0].outputs] == [('base', 'elbow', 'gripper')]


def test_two_arms_in_one_message_are_told_apart_by_their_joints() -> None:
    """The right arm comes first, as in the contract; a base and the order of numbers are told."""
    draft = draft_robot(contract_of(SHARED))
    right, left = arms_of(draft)
    assert (right['name'], left['name']) == ('right', 'left')
    assert right['joint_state_topic'] == left['joint_state_topic'] == '/joint_states'
    assert (left['joints'], left['driver']) == (['left_j1', 'left_j2'], 'trajectory')
    assert left['command_topic'] == '/left/traj'
    hand = left['gripper']
    assert (hand['state_joint'], hand['driver']) == ('left_jaw', 'forward')
    assert hand['command_topic'] == '/left_jaw/cmd'
    assert draft.left_open[-1] == 'cameras'
    assert draft.remarks == (
        'action.base: /cmd_vel, geometry_msgs/msg/Twist, is left out; a robot file has the joints '
        'of arms alone',
        "arm right: ['opening'] of /right_jaw/cmd are taken for ['right_jaw']; check that",
        "arm left: ['opening'] of /left_jaw/cmd are taken for ['left_jaw']; check that",
    )


def test_command_of_several_arms_in_one_message_is_left_open() -> None:
    """Here every arm sends its own, and two on one topic would be two halves of a command."""
    data = changed(SHARED, 'actions', value={
        'action': {
            'channel': {'topic': '/all', 'type': JOINT_STATE},
            'align': {'strategy': 'hold', 'timeline': 'header'},
            'select': ['left_j1', 'left_j2', 'right_j1', 'right_j2'],
        },
    })  # fmt: skip
    draft = draft_robot(parse_contract(data, 'contract'))
    assert [arm['command_topic'] for arm in arms_of(draft)] == ['???', '???']
    assert 'arm left: /all takes several arms in one message; here each sends its own' in (
        draft.remarks
    )
    assert arms_of(draft)[0]['gripper']['driver'] == '???'  # nothing commands it


def test_arms_and_grippers_get_the_names_that_a_person_gives() -> None:
    """Arms by a word of the topic, a gripper by a name without a word for one."""
    text = SHARED.replace('left_jaw', 'left_j3').replace('right_jaw', 'right_j3')
    draft = draft_robot(contract_of(text), ('left', 'right'), ('left_j3', 'right_j3'))
    left, right = arms_of(draft)
    assert (left['name'], right['name']) == ('left', 'right')
    assert left['gripper']['state_joint'] == 'left_j3'


def test_joints_that_make_no_arms_are_refused() -> None:
    """With what helps: those of no arm, and an arm that is two."""
    told = (
        r"the joints \['right_j1', .* are of none of the arms \['one', 'two'\]; give with --arms"
    )
    with pytest.raises(ConfigError, match=told):
        draft_robot(contract_of(SHARED), ('one', 'two'))
    trajectories = [*yaml.safe_load(SHARED)['actions']['action'][::2]]
    data = changed(SHARED, 'actions', value={'action': trajectories})
    told = r"arm robot: its joints are commanded on \['/right/traj', '/left/traj'\], .*--arms"
    with pytest.raises(ConfigError, match=told):
        draft_robot(parse_contract(data, 'contract'), ('robot',))


def test_gripper_on_another_topic_is_left_open_with_what_to_do() -> None:
    """The arm's joint states have to come on one topic, in parts where drivers are two."""
    state = yaml.safe_load(SINGLE)['observations']['observation.state']
    data = changed(SINGLE, 'observations', 'observation.state', value=[
        {**state, 'select': ['base', 'elbow']},
        {
            'channel': {'topic': '/hand', 'type': JOINT_STATE},
            'align': {'strategy': 'hold', 'timeline': 'header'},
            'select': ['gripper'],
        },
    ])  # fmt: skip
    draft = draft_robot(parse_contract(data, 'contract'))
    assert 'arms[0].gripper.state_joint' in draft.left_open
    assert 'gripper is measured on /hand; bring it onto /arm/state' in ''.join(draft.remarks)


# What is no contract that is known


@pytest.mark.parametrize(
    ('path', 'value', 'told'),
    [
        (('version',), 3, r"has unknown keys \['version'\]; a contract of rosetta 0.2"),
        (('observations',), [{'key': 'observation.state'}], 'got a list, as in those of 0.1'),
        (('robot_interface',), 'zenoh', r"robot_interface must be one of \['ros2'\], got 'zenoh'"),
        (('fps',), 0, "robot_type must be a name and fps above 0, got 'bench_arm' and 0"),
        (('actions', 'action'), [], 'actions.action must be a source or a list of at least one'),
        (
            ('actions', 'action', 'align', 'strategy'), 'nearest',
            r"actions.action: align: strategy must be one of .*'hold', .* got 'nearest'",
        ),
        (
            ('observations', 'observation.state', 'select', 1), 'angle.elbow',
            r"observations.observation.state: select\[1\] must be a joint, .* got 'angle.elbow'",
        ),
        (
            ('observations', 'observation.images.front', 'channel', 'type'), 'std_msgs/msg/String',
            "observations.observation.images.front: type must be one of .* got 'std_msgs/msg/Str",
        ),
        (
            ('observations', 'observation.state', 'channel', 'topics'), '/x',
            r"observations.observation.state: channel has unknown keys \['topics'\]",
        ),
        (('teleop', 'input', 0, 'target'), '/arm/taget', r"teleop.input\[0\]: target must be a "),
        (('actions', 'action', 'apply'), [{'a': 1, 'b': 2}], 'actions.action: apply must be a li'),
        (('tasks',), 'fold', "tasks must be a mapping of keys, got 'fold'"),
    ],
)  # fmt: skip
def test_mistake_is_told_with_its_key_what_came_and_what_is_expected(
    path: tuple[str | int, ...], value: Any, told: str
) -> None:
    """The first of them, by its place in the file."""
    with pytest.raises(ConfigError, match=f'contract.*{told}'):
        parse_contract(changed(SINGLE, *path, value=value), 'contract')


def test_functions_of_a_contract_are_not_imported(tmp_path: Path) -> None:
    """A contract from elsewhere runs nothing: neither a codec that it names nor a tag of YAML."""
    data = changed(
        SINGLE, 'observations', 'observation.state', 'channel', 'decoder', value='evil:f'
    )
    (tmp_path / 'evil.py').write_text('raise SystemExit(1)')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        contract = parse_contract(data, 'contract')
    assert 'evil' not in sys.modules
    assert contract.states[0].positions == ()
    with pytest.raises(ConfigError, match='no observation of type sensor_msgs/msg/JointState'):
        draft_robot(contract)
    file = tmp_path / 'contract.yaml'
    file.write_text('robot_type: !!python/object/apply:os.system [exit 1]\n')
    with pytest.raises(ConfigError, match='is not valid YAML'):
        read_contract(file)


# Contracts of robot files


@pytest.mark.parametrize(
    ('name', 'grippers'),
    [('aloha_sim', ()), ('aloha_ros2_control', ()), ('piper', ('joint6',)), ('ur5e', ())],
)
def test_streams_of_a_robot_are_the_same_after_a_contract(
    name: str, grippers: tuple[str, ...]
) -> None:
    """Cameras, measured joints and where commands leave, with their joints in order."""
    robot = read_robot(robot_file(name))
    text, _ = write_contract(robot)
    draft = draft_robot(contract_of(text), [arm.name for arm in robot.arms], grippers)
    back = yaml.safe_load(draft.text)
    assert back['name'] == robot.name
    assert back['control_rate_hz'] == robot.control_rate_hz
    assert [(c['name'], c['topic'], c.get('transport', 'raw')) for c in back['cameras']] == [
        (c.name, c.topic, c.transport) for c in robot.cameras
    ]
    assert [streams_of_draft(arm) for arm in back['arms']] == [*map(streams, robot.arms)]


def streams(arm: ArmSpec) -> tuple[Any, ...]:
    """Return what an arm measures and where its commands leave."""
    ways = [(o.driver, o.topic, [*o.joints]) for o in arm.outputs]
    return (arm.name, arm.joint_state_topic, [*arm.state_joints], ways)


def streams_of_draft(arm: dict[str, Any]) -> tuple[Any, ...]:
    """Return the same of an arm in a draft."""
    hand = arm.get('gripper', {})
    state = [hand['state_joint']] if hand else []
    command = [hand.get('command_joint', hand['state_joint'])] if hand else []
    alone = 'driver' in hand
    ways = [(arm['driver'], arm['command_topic'], arm['joints'] + ([] if alone else command))]
    ways += [(hand['driver'], hand['command_topic'], command)] if alone else []
    return (arm['name'], arm['joint_state_topic'], arm['joints'] + state, ways)


def test_commands_of_a_contract_stay_in_the_range_of_their_joints() -> None:
    """The widest of a topic, in units of the controller; nothing is sent at a stop."""
    robot = read_robot(robot_file('aloha_ros2_control'))
    arm, hand, *_ = yaml.safe_load(write_contract(robot)[0])['actions']['action']
    assert arm['apply'] == [{'clamp': {'min': -3.14158, 'max': 3.14158}}]
    assert hand['apply'] == [{'clamp': {'min': 0.021, 'max': 0.057}}]
    assert 'safety' not in arm['channel']
    assert arm['align'] == {'strategy': 'hold', 'timeline': 'header'}


def test_compressed_camera_keeps_its_transport_and_size() -> None:
    """Under the topic of image_transport."""
    cameras = (replace(ROBOT.cameras[0], transport='compressed'),)
    text, remarks = write_contract(replace(ROBOT, cameras=cameras))
    (image,) = [v for k, v in yaml.safe_load(text)['observations'].items() if 'images' in k]
    assert image['channel']['topic'] == '/high/image_raw/compressed'
    assert image['channel']['type'] == COMPRESSED_IMAGE
    assert image['apply'] == [{'resize': [240, 320]}]
    assert 'the leader of follower_left is left out: its gripper has other units' in remarks


@pytest.mark.parametrize(
    ('name', 'told'),
    [
        ('aloha', "arm follower_left: /follower_left is of driver 'interbotix', which rosetta "),
        (
            'so101',
            "arm left: /left/gripper_controller/gripper_cmd is of driver 'parallel_gripper'",
        ),
    ],
)
def test_command_that_rosetta_cannot_send_is_refused(name: str, told: str) -> None:
    """With the arm, its driver and those that it can."""
    with pytest.raises(ConfigError, match=told):
        write_contract(read_robot(robot_file(name)))


# The command


def test_command_makes_a_file_and_lists_what_is_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both ways, by what the file holds; a file that is there stays as it is."""
    source, robot = tmp_path / 'contract.yaml', tmp_path / 'robot.yaml'
    source.write_text(SINGLE)
    assert run(Command(source, robot)) == 0
    shown = capsys.readouterr().out.splitlines()
    assert f'{robot}: fill in 21 values, where it has ???:' in shown
    assert shown[-1] == 'cameras[1].rate_hz'
    assert run(Command(Path('aloha_sim'), tmp_path / 'back.yaml', namespace='robot1')) == 0
    contract = read_contract(tmp_path / 'back.yaml')
    assert contract.cameras['high'].topic == '/robot1/high/image_raw'
    before = robot.read_text()
    assert 'exists and is not overwritten' in refused('contract', str(source), str(robot))
    assert robot.read_text() == before


def test_command_refuses_what_is_neither(tmp_path: Path) -> None:
    """With the keys that it has."""
    file = tmp_path / 'other.yaml'
    file.write_text('nodes: 3\n')
    line = refused('contract', str(file), str(tmp_path / 'out.yaml'))
    assert (
        "must be a contract, with robot_type, or a robot file, with arms; it has the keys ['n"
        in (line)
    )
    assert not (tmp_path / 'out.yaml').exists()


# Bags of the episode recorder


def small_robot() -> RobotSpec:
    """Return the robot with one camera."""
    return replace(ROBOT, cameras=ROBOT.cameras[:1])


def of_lab(seconds: float = 2.0) -> list[Sent]:
    """Return a recording on the topics of ``LAB``: numbers for controllers, JPEG, no /task."""
    rows = []
    for row in without(recording(seconds), '/task'):
        if row.topic == '/joint_command':
            numbers = np.array([*row.message.position[:6], 0.058])
            message = T[NUMBERS](T['std_msgs/msg/MultiArrayLayout']([], 0), numbers)
            names = [f'/lab/{arm.name}/cmd' for arm in ROBOT.arms]
            rows += [Sent(row.arrival_ns, name, NUMBERS, message) for name in names]
        elif row.topic == HIGH:
            image = jpeg_image(row.arrival_ns, brightness((row.arrival_ns - START_NS) * 1e-9))
            rows.append(Sent(row.arrival_ns, '/lab/top/compressed', COMPRESSED_IMAGE, image))
        elif row.type != IMAGE:
            rows.append(row._replace(topic=f'/lab{row.topic.replace("joint_states", "state")}'))
    return rows


def said(topic: str, kind: str, *values: tuple[float, Any]) -> list[Sent]:
    """Return messages with a value each, at times from the start [s]."""
    return [
        Sent(START_NS + round(at_s * 1e9), topic, kind, T[kind](value)) for at_s, value in values
    ]


def rewards(*values: float) -> list[Sent]:
    """Return rewards, the last at 1.9 s."""
    timed = [(1.9 - 0.1 * behind, value) for behind, value in enumerate(reversed(values))]
    return said('/lab/reward', 'std_msgs/msg/Float64', *reversed(timed))


def test_bag_is_read_by_the_contract_in_it(tmp_path: Path) -> None:
    """Topics of other names than in the robot file, the instruction and the outcome."""
    path = write_bag_of(tmp_path / 'a', [*of_lab(), *rewards(0.0, 1.0)], RECORDED)
    labels = reading_of(ReadingOptions(source='demo'), ROBOT)
    episode = read_bag(path, small_robot(), None, reading=labels)
    assert (episode.task, episode.success, episode.rate_hz) == ('fold the towel', True, 50.0)
    assert len(episode.actions) == 100
    np.testing.assert_allclose(episode.actions[50], [*arm_pose(1.0), 1.0] * 2, atol=1e-6)
    np.testing.assert_allclose(episode.proprio[50], [*arm_pose(1.0), 1.0] * 2, atol=1e-6)
    np.testing.assert_allclose(episode.images['high'][12][120, 280], [48] * 3, atol=4)


@pytest.mark.parametrize(
    ('values', 'success'),
    [((1.0,), True), ((0.2, -1.0), False), ((1.0, 0.0), None), ((0.7,), None), ((), None)],
)
def test_last_reward_is_the_outcome(
    tmp_path: Path, values: tuple[float, ...], success: bool | None
) -> None:
    """1 and below 0 are what a person said; 0 is nobody's, and a classifier sends anything."""
    path = write_bag_of(tmp_path / 'a', [*of_lab(0.5), *rewards(*values)], RECORDED)
    (stored,) = list_episodes(tmp_path)
    known = {} if success is None else {'success': success}
    assert list_labels(stored, 50.0).labels == {'task': 'fold the towel', **known}
    shown = read_overview(path, small_robot(), 1).metadata.get('success')
    assert shown == (None if success is None else str(success).lower())


def test_flag_of_success_counts_more_than_a_reward(tmp_path: Path) -> None:
    """By its key in any section of labels."""
    data = yaml.safe_load(LAB)
    channel = {'topic': '/lab/done', 'type': 'std_msgs/msg/Bool', 'dtype': 'bool'}
    align = {'strategy': 'hold', 'timeline': 'receive'}
    data['signals'] = {'next.success': {'channel': channel, 'align': align}}
    rows = [*of_lab(0.5), *rewards(1.0)]
    rows += said('/lab/done', 'std_msgs/msg/Bool', (0.1, True), (0.4, False))
    custom = RECORDED | {'rosetta.contract_yaml': yaml.safe_dump(data)}
    write_bag_of(tmp_path / 'a', rows, custom)
    (stored,) = list_episodes(tmp_path)
    assert list_labels(stored, 50.0).labels['success'] is False


def test_outcome_stays_where_the_end_that_says_it_is_trimmed(tmp_path: Path) -> None:
    """The arms stand still from 1 s on, and the reward comes at 1.9 s."""
    rows = of_lab()
    for row in rows:
        waist = 0.1 * min((row.arrival_ns - START_NS) * 1e-9, 1.0)
        if row.type == JOINT_STATE:
            row.message.position[0] = waist
        elif row.type == NUMBERS:
            row.message.data[0] = waist
    write_bag_of(tmp_path / 'a', [*rows, *rewards(-1.0)], RECORDED)
    (stored,) = list_episodes(tmp_path)
    reading = reading_of(ReadingOptions(source='demo'), ROBOT)
    episode = read_bag(stored.path, small_robot(), None, reading=reading)
    assert trim(stored, episode, 0.1) > 0.5
    assert list_labels(stored, 50.0).seconds < 1.5
    assert list_labels(stored, 50.0).labels['success'] is False


def test_outcome_of_a_divided_episode_is_that_of_its_last_part(tmp_path: Path) -> None:
    """Of the others nobody has judged."""
    write_bag_of(tmp_path / 'a', [*of_lab(), *rewards(-1.0)], RECORDED)
    (stored,) = list_episodes(tmp_path)
    split(stored, [1.0])
    first, last = (list_labels(part, 50.0).labels for part in list_episodes(tmp_path))
    assert 'success' not in first
    assert last['success'] is False


def test_label_of_a_person_stays(tmp_path: Path) -> None:
    """What was said with ``episodes relabel`` is in the custom data under our names."""
    custom = RECORDED | {'success': 'true', 'task': 'wipe', 'relabelled': 'success task'}
    path = write_bag_of(tmp_path / 'a', [*of_lab(0.5), *rewards(-1.0)], custom)
    reading = reading_of(ReadingOptions(source='demo'), ROBOT)
    episode = read_bag(path, small_robot(), None, reading=reading)
    assert (episode.success, episode.task) == (True, 'wipe')


def test_who_acted_makes_a_rollout_with_spans(tmp_path: Path) -> None:
    """The manager of interventions says 0 or 1 at its rate, in any namespace."""
    acting = [(k / 30, int(0.5 <= k / 30 < 1.5)) for k in range(60)]
    rows = of_lab() + said('/cell/hil_intervention', 'std_msgs/msg/Int8', *acting)
    episode = read_bag(write_bag_of(tmp_path / 'a', rows, RECORDED), small_robot(), None)
    assert episode.source == 'rollout'
    assert episode.human_intervention.tolist() == [False] * 25 + [True] * 50 + [False] * 25


def test_instruction_of_a_topic_comes_before_that_of_the_recording(tmp_path: Path) -> None:
    """The last that was sent."""
    rows = of_lab() + said('/lab/words', STRING, (0.0, 'fold'), (1.0, 'fold it twice'))
    path = write_bag_of(tmp_path / 'a', rows, RECORDED)
    reading = reading_of(ReadingOptions(source='demo'), ROBOT)
    assert read_bag(path, small_robot(), None, reading=reading).task == 'fold it twice'


def test_contract_of_a_person_is_for_bags_that_have_none(tmp_path: Path) -> None:
    """As for those of ros2 bag record; a topic that is mapped by hand comes first."""
    rows = [
        row._replace(topic='/cam0') if row.topic == '/lab/top/compressed' else row
        for row in of_lab()
    ]
    path = write_bag_of(tmp_path / 'a', rows)
    (tmp_path / 'contract.yaml').write_text(LAB)
    options = ReadingOptions(
        task='fold', source='demo', contract=tmp_path / 'contract.yaml', map=('/cam0=high',)
    )
    episode = read_bag(path, small_robot(), 50.0, reading=reading_of(options, ROBOT))
    assert (episode.task, len(episode.actions)) == ('fold', 100)


def test_contract_in_a_bag_that_cannot_be_used_is_told_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The bag is read by what else says what it holds."""
    custom = RECORDED | {'rosetta.contract_yaml': 'robot_type: x\nversion: 3\n'}
    rows = without(recording(), '/task')
    path = write_bag_of(tmp_path / 'a', rows, custom)
    episode = read_bag(path, ROBOT, 50.0, reading=reading_of(ReadingOptions(source='demo'), ROBOT))
    assert episode.task == 'fold the towel'
    assert "the contract in the bags is left out: contract has unknown keys ['version']" in (
        caplog.text
    )


def test_bag_of_another_robot_is_refused_by_its_contract(tmp_path: Path) -> None:
    """As one of ours would be."""
    custom = RECORDED | {'rosetta.contract_yaml': LAB.replace('aloha_sim', 'stone')}
    path = write_bag_of(tmp_path / 'a', of_lab(0.5), custom)
    with pytest.raises(ConfigError, match=r"it is of robot 'stone', .*--robot-type-ok"):
        read_bag(path, small_robot(), None)


def test_commands_of_both_arms_in_one_message_are_read_for_each(tmp_path: Path) -> None:
    """Both arms are found by their joints, and neither gets the other's."""
    robot, rows = two_sides()
    names = [joint for arm in robot.arms for joint in arm.state_joints]
    source = {'align': {'strategy': 'hold', 'timeline': 'header'}, 'select': names}
    contract = {
        'robot_type': robot.name, 'robot_interface': 'ros2', 'fps': 50,
        'observations': {
            'observation.state': source | {'channel': {'topic': '/js', 'type': JOINT_STATE}}
        },
        'actions': {'action': source | {'channel': {'topic': '/all', 'type': JOINT_STATE}}},
    }  # fmt: skip
    custom = RECORDED | {'rosetta.contract_yaml': yaml.safe_dump(contract)}
    path = write_bag_of(tmp_path / 'a', rows, custom)
    reading = reading_of(ReadingOptions(source='demo'), robot)
    episode = read_bag(path, robot, None, reading=reading)
    np.testing.assert_allclose(episode.actions[10], [*[0.1] * 6, 0.0, *[0.2] * 6, 1.0], atol=1e-6)
    np.testing.assert_allclose(episode.proprio[10], [*[0.1] * 6, 0.0, *[0.2] * 6, 1.0], atol=1e-6)


def two_sides() -> tuple[RobotSpec, list[Sent]]:
    """Return a robot of driver joint_state, and messages with both arms in one each."""
    arms = []
    for arm, side in zip(ROBOT.arms, 'lr', strict=True):
        assert arm.gripper is not None
        gripper = replace(arm.gripper, state_joint=f'{side}_finger')
        joints = tuple(f'{side}_{name}' for name in arm.joints)
        arms.append(replace(
            arm, joint_state_topic='/joint_states', joints=joints, gripper=gripper,
            driver='joint_state', command_topic=f'/{side}/target',
        ))  # fmt: skip
    robot = replace(small_robot(), arms=tuple(arms))
    names = [joint for arm in arms for joint in arm.state_joints]
    row = [*[0.1] * 6, 0.01844, *[0.2] * 6, 0.058]
    rows = [r for r in recording(0.5) if r.topic == HIGH]
    for tick in range(50):
        ns = START_NS + tick * 10_000_000
        message = joint_state(ns, names, row)
        rows += [Sent(ns, topic, JOINT_STATE, message) for topic in ('/js', '/all')]
    return robot, rows


# Data sets


def test_data_set_of_rosetta_is_read_in_the_units_of_its_contract(tmp_path: Path) -> None:
    """Degrees and metres, which nothing in the rows shows, become radians and openings."""
    episode, robot = sample_episode(), small_robot()
    small = replace(
        episode,
        success=None,
        images={'high': episode.images['high']},
        image_index={'high': episode.image_index['high']},
    )
    state, action = (in_degrees(rows) for rows in (episode.proprio, episode.actions))
    root = tmp_path / 'set'
    with LeRobotWriter(root, robot, 50.0) as data_set:
        data_set.add(replace(small, proprio=state, actions=action))
    text = LAB.replace(
        f'select: [{ARM_JOINTS}]', f'select: [{ARM_JOINTS}]\n      apply: [rad2deg]'
    )
    (root / 'meta' / 'rosetta_contract.yaml').write_text(text)
    read = read_lerobot(root, 0, robot)
    np.testing.assert_allclose(read.proprio, episode.proprio, atol=1e-5)
    np.testing.assert_allclose(read.actions, episode.actions, atol=1e-5)


def in_degrees(rows: np.ndarray) -> np.ndarray:
    """Return rows as rosetta writes them: measured positions, all in degrees."""
    wanted = rows.astype(np.float64)
    wanted[:, [6, 13]] = 0.01844 + wanted[:, [6, 13]] * (0.058 - 0.01844)
    return np.rad2deg(wanted).astype(np.float32)


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        (lambda text: text.replace('position.waist', 'position.hip'), 'waist of follower_left is'),
        (lambda text: text.replace(f'[{ARM_JOINTS}]', '[waist]'), 'the contract has 2 columns'),
        (
            lambda text: text.replace(
                f'[{ARM_JOINTS}]', f'[{ARM_JOINTS}]\n      apply: [to_turns]'
            ),
            "observation.state: 'to_turns' of the contract is not known",
        ),
    ],
)
def test_columns_that_cannot_be_told_are_refused(change: Callable[[str], str], told: str) -> None:
    """With the joint, or with what was done to the numbers."""
    rows = np.zeros((3, 14))
    with pytest.raises(ValueError, match=told):
        rows_of_robot(rows, 'observation.state', contract_of(change(LAB)), ROBOT)


def test_reading_of_no_contract_is_as_before(tmp_path: Path) -> None:
    """A bag of ours has none."""
    path = write_bag_of(tmp_path / 'a', recording(0.5), {'source': 'demo'})
    assert read_bag(path, ROBOT, 50.0, reading=Reading()).task == 'fold the towel'

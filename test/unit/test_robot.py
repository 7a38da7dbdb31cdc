# SPDX-License-Identifier: Apache-2.0
"""Robot YAML: what is read, and what a mistake in it says."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.core.config import check_robot
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import LeaderSpec, read_robot
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest
from tiny import tiny_config
import yaml

FILE = share_path('config', 'robots', 'aloha_sim.yaml')


def write_changed(tmp_path: Path, **changes: object) -> Path:
    """Return a copy of the simulated robot's file with some top-level keys changed."""
    data = yaml.safe_load(FILE.read_text()) | changes
    file = tmp_path / 'robot.yaml'
    file.write_text(yaml.safe_dump(data))
    return file


def write_arm(tmp_path: Path, **changes: object) -> Path:
    """Return a copy whose left arm has some keys changed."""
    arms = yaml.safe_load(FILE.read_text())['arms']
    return write_changed(tmp_path, arms=[arms[0] | changes, arms[1]])


def test_joint_order_is_left_arm_left_gripper_right_arm_right_gripper() -> None:
    """The order of all 14 numbers everywhere."""
    names = read_robot(FILE).joint_names
    assert names[0] == 'follower_left/waist'
    assert names[6] == 'follower_left/gripper'
    assert names[13] == 'follower_right/gripper'


def test_relative_names_are_in_the_namespace_of_the_reader() -> None:
    """Without one, as where bags are read, they are below the root."""
    arm, camera = read_robot(FILE, '/robot1').arms[0], read_robot(FILE, '/robot1').cameras[0]
    assert arm.joint_state_topic == '/robot1/follower_left/joint_states'
    assert arm.command_topic == '/robot1/follower_left_controller/commands'
    assert arm.leader is not None
    assert arm.leader.joint_state_topic == '/robot1/leader_left/joint_states'
    assert camera.topic == '/robot1/high/image_raw'
    assert read_robot(FILE).cameras[0].topic == '/high/image_raw'


def test_names_with_a_leading_slash_are_in_no_namespace(tmp_path: Path) -> None:
    """As where a driver that runs already has no namespace."""
    file = write_arm(tmp_path, joint_state_topic='/left/joint_states')
    left, right = read_robot(file, '/robot1').arms
    assert left.joint_state_topic == '/left/joint_states'
    assert right.joint_state_topic == '/robot1/follower_right/joint_states'


def test_no_robot_file_of_this_package_has_absolute_names() -> None:
    """Two robots of a kind run side by side in two namespaces."""
    names = [
        name
        for file in share_path('config', 'robots').glob('*.yaml')
        for robot in (read_robot(file, '/robot1', simulated=True),)
        for name in (
            *robot.joint_state_topics,
            *(camera.topic for camera in robot.cameras),
            *(output.topic for arm in robot.arms for output in arm.outputs),
            *(arm.leader.joint_state_topic for arm in robot.arms if arm.leader),
        )
    ]
    assert len(names) > 50
    assert [name for name in names if not name.startswith('/robot1/')] == []


def test_limits_include_the_grippers() -> None:
    """Grippers go from 0 to 1."""
    robot = read_robot(FILE)
    assert robot.size == 14
    assert robot.lower[[6, 13]].tolist() == [0.0, 0.0]
    assert robot.upper[[6, 13]].tolist() == [1.0, 1.0]
    assert np.flatnonzero(~robot.arm_joints).tolist() == [6, 13]


def test_missing_file_says_where_robots_are() -> None:
    """A wrong path is a mistake a user can fix."""
    with pytest.raises(ConfigError, match=r'config/robots/\*\.yaml'):
        read_robot(Path('no_such_robot.yaml'))


def test_unknown_key_lists_the_known_ones(tmp_path: Path) -> None:
    """A typo must not be ignored."""
    with pytest.raises(ConfigError, match=r"unknown keys \['control_rate'\].*control_rate_hz"):
        read_robot(write_changed(tmp_path, control_rate=50))


def test_missing_key_is_named(tmp_path: Path) -> None:
    """No default stands in for a fact about a robot."""
    data = yaml.safe_load(FILE.read_text())
    del data['control_rate_hz']
    file = tmp_path / 'robot.yaml'
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError, match=r"lacks the keys \['control_rate_hz'\]"):
        read_robot(file)


def test_limits_of_another_length_are_refused(tmp_path: Path) -> None:
    """Six joints need six limits."""
    with pytest.raises(ConfigError, match='lower has 5 numbers for 6 joints'):
        read_robot(write_arm(tmp_path, lower=[0.0] * 5))


def test_crossed_limits_are_refused(tmp_path: Path) -> None:
    """An empty range would stop every motion."""
    with pytest.raises(ConfigError, match='below its upper limit'):
        read_robot(write_arm(tmp_path, lower=[4.0] * 6))


def test_speed_of_zero_is_refused(tmp_path: Path) -> None:
    """A joint that may not move is a mistake."""
    with pytest.raises(ConfigError, match='above 0'):
        read_robot(write_arm(tmp_path, max_speed=[0.0] * 6))


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('control_rate_hz', 'fast', "control_rate_hz must be a finite number, got 'fast'"),
        ('control_rate_hz', float('nan'), 'control_rate_hz must be a finite number, got nan'),
        ('control_rate_hz', 0, 'rates must be above 0'),
        ('name', 3, 'name must be text, got 3'),
        ('cameras', [], 'cameras must be a list of at least one'),
    ],
)
def test_value_that_cannot_be_is_refused(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    """A limit that is no number would be no limit."""
    with pytest.raises(ConfigError, match=message):
        read_robot(write_changed(tmp_path, **{key: value}))


def test_limit_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    """A comparison with NaN is never true, so it would let every motion pass."""
    with pytest.raises(ConfigError, match=r'max_speed\[2\] must be a finite number, got nan'):
        read_robot(write_arm(tmp_path, max_speed=[1.0, 1.0, float('nan'), 1.0, 1.0, 1.0]))


def test_two_arms_of_one_name_are_refused(tmp_path: Path) -> None:
    """Their joints could not be told apart."""
    with pytest.raises(ConfigError, match='distinct'):
        read_robot(write_arm(tmp_path, name='follower_right'))


def test_unknown_driver_lists_the_known_ones(tmp_path: Path) -> None:
    """There are four ways commands of an arm can leave."""
    known = "'forward', 'trajectory', 'interbotix', 'joint_state'"
    with pytest.raises(ConfigError, match=known):
        read_robot(write_arm(tmp_path, driver='moveit'))
    with pytest.raises(ConfigError, match=known):
        read_robot(write_arm(tmp_path, driver='gripper_command'))


def gripper(**changes: object) -> dict[str, object]:
    """Return the left gripper of the file with some keys changed."""
    return yaml.safe_load(FILE.read_text())['arms'][0]['gripper'] | changes


def test_unknown_gripper_driver_lists_the_known_ones(tmp_path: Path) -> None:
    """A gripper can be driven as an arm is, and by two actions."""
    changed = gripper(driver='vacuum', command_topic='/left/vacuum')
    with pytest.raises(ConfigError, match="'joint_state', 'gripper_command', 'parallel_gripper'"):
        read_robot(write_arm(tmp_path, gripper=changed))


def test_gripper_of_its_own_leaves_the_arm_six_joints(tmp_path: Path) -> None:
    """One output of an arm is two then, and the action stays what it was."""
    changed = gripper(driver='gripper_command', command_topic='/left/gripper_cmd')
    left, right = read_robot(write_arm(tmp_path, gripper=changed)).arms
    joints, hand = left.outputs
    assert (joints.driver, joints.topic) == ('forward', '/follower_left_controller/commands')
    assert joints.joints == (
        'waist',
        'shoulder',
        'elbow',
        'forearm_roll',
        'wrist_angle',
        'wrist_rotate',
    )
    assert (hand.driver, hand.topic, hand.joints) == (
        'gripper_command', '/left/gripper_cmd', ('left_finger',),
    )  # fmt: skip
    (both,) = right.outputs
    assert both.joints[-2:] == ('wrist_rotate', 'left_finger')
    assert left.size == right.size == 7


def write_bare(tmp_path: Path, **changes: object) -> Path:
    """Return a copy with one arm of three joints and no gripper."""
    arm = yaml.safe_load(FILE.read_text())['arms'][0]
    del arm['gripper'], arm['leader']
    for key in ('joints', 'lower', 'upper', 'max_speed', 'max_acceleration', 'start'):
        arm[key] = arm[key][:3]
    return write_changed(tmp_path, arms=[arm | changes])


def test_one_arm_of_three_joints_without_a_gripper_is_a_robot(tmp_path: Path) -> None:
    """Neither two arms nor six joints nor a gripper are needed."""
    robot = read_robot(write_bare(tmp_path))
    arm = 'follower_left'
    assert robot.joint_names == (f'{arm}/waist', f'{arm}/shoulder', f'{arm}/elbow')
    assert robot.arm_joints.tolist() == [True, True, True]
    assert robot.lower.tolist() == pytest.approx([-3.14158, -1.85005, -1.76278])
    assert robot.max_speed.tolist() == pytest.approx([3.14, 3.14, 3.14])
    assert robot.start.tolist() == pytest.approx([0.0, -0.96, 1.16])
    assert robot.arms[0].state_joints == ('waist', 'shoulder', 'elbow')
    assert robot.arm_slices == (slice(0, 3),)


def test_leader_of_an_arm_without_a_gripper_is_refused(tmp_path: Path) -> None:
    """Closing the leader's gripper is what starts the motion."""
    leader = yaml.safe_load(FILE.read_text())['arms'][0]['leader']
    with pytest.raises(ConfigError, match='with a gripper, which starts motion'):
        read_robot(write_bare(tmp_path, leader=leader | {'joints': ['a', 'b', 'c']}))


def test_start_of_an_arm_without_a_gripper_has_no_number_for_it(tmp_path: Path) -> None:
    """Four numbers for three joints are a mistake."""
    with pytest.raises(ConfigError, match='start has 4 numbers; they must be 3, one per joint'):
        read_robot(write_bare(tmp_path, start=[0.0] * 4))


def test_arms_of_one_joint_state_topic_need_joints_of_their_own(tmp_path: Path) -> None:
    """Two joints of one name could not be told apart."""
    arms = [
        arm | {'joint_state_topic': '/joint_states'}
        for arm in yaml.safe_load(FILE.read_text())['arms']
    ]
    with pytest.raises(ConfigError, match='of /joint_states must be distinct'):
        read_robot(write_changed(tmp_path, arms=arms))


def test_two_outputs_on_one_topic_are_refused(tmp_path: Path) -> None:
    """Each would overwrite the other's commands."""
    with pytest.raises(ConfigError, match=r'command topics .* must be distinct'):
        read_robot(write_arm(tmp_path, command_topic='/follower_right_controller/commands'))


def test_joint_called_gripper_is_refused(tmp_path: Path) -> None:
    """The name is that of the last number of an arm."""
    joints = ['waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'gripper']
    with pytest.raises(ConfigError, match="joint 'gripper' must be in gripper: instead"):
        read_robot(write_arm(tmp_path, joints=joints))


def test_constants_of_a_command_need_one_number_per_joint_and_their_driver(
    tmp_path: Path,
) -> None:
    """Six for seven numbers are a mistake, and only JointState carries them."""
    with pytest.raises(ConfigError, match='command_efforts has 6 numbers'):
        read_robot(write_arm(tmp_path, driver='joint_state', command_efforts=[1.0] * 6))
    with pytest.raises(ConfigError, match='command_velocities must be of driver joint_state'):
        read_robot(write_arm(tmp_path, command_velocities=[1.0] * 7))


def test_text_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    """One line instead of a parser's trace."""
    file = tmp_path / 'robot.yaml'
    file.write_text('arms: [')
    with pytest.raises(ConfigError, match='not valid YAML'):
        read_robot(file)


def test_camera_the_checkpoint_does_not_know_prints_both_sides() -> None:
    """Deployment may not show the policy another set of cameras."""
    robot = read_robot(FILE)
    config = tiny_config(
        cameras=('front',), joint_names=robot.joint_names, action_size=14, proprio_size=14
    )
    with pytest.raises(ConfigError, match=r"cameras.*\['front'\].*left_wrist"):
        check_robot(config, robot)


def test_leader_counts_as_closed_below_a_share_of_its_range() -> None:
    """From -0.8 rad closed to 0.2 rad open, -0.6 rad is a fifth of the way."""
    leader = LeaderSpec('/leader/joint_states', ('waist',), 'gripper', -0.8, 0.2, -0.6)
    assert leader.start_opening == pytest.approx(0.2)

# SPDX-License-Identifier: Apache-2.0
"""The robot files against the facts of the packages that they are for.

The facts are literals of the packages' own files; each says where it was read. None of it replaces
a run on the arms: it finds a name, an order, a size or a limit that is not the package's.
"""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.control.safety import Limits
from cosmos_policy_ros.core.config import check_robot
from cosmos_policy_ros.core.official.presets import Preset, preset
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import CommandOutput, read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest

FOLDER = share_path('config', 'robots')
FILES = sorted(path.stem for path in FOLDER.glob('*.yaml'))
SIMULATED = ('libero_panda', 'robocasa_panda')  # that only a simulator moves
# Interbotix/interbotix_ros_manipulators@humble interbotix_xsarm_control/config/aloha_vx300s.yaml,
# group arm; interbotix_xsarm_descriptions/urdf/aloha_vx300s.urdf.xacro [rad]
VIPERX = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate')
VIPERX_LOWER = [-3.14158, -1.85005, -1.76278, -3.14158, -1.86750, -3.14158]
VIPERX_UPPER = [3.14158, 1.25664, 1.60570, 3.14158, 2.23402, 3.14158]


def read(name: str) -> RobotSpec:
    """Return a robot of the package."""
    return read_robot(FOLDER / f'{name}.yaml')


def outputs(robot: RobotSpec) -> list[CommandOutput]:
    """Return where all its commands leave."""
    return [output for arm in robot.arms for output in arm.outputs]


def check_limits(robot: RobotSpec, arm: int, lower: list[float], upper: list[float]) -> None:
    """Compare the limits of an arm with those of its package, which they may not pass."""
    spec = robot.arms[arm]
    assert spec.lower == pytest.approx(lower, abs=1e-4)
    assert spec.upper == pytest.approx(upper, abs=1e-4)
    start = np.array(spec.start[: len(spec.joints)])
    assert (np.array(spec.lower) <= start).all()
    assert (start <= np.array(spec.upper)).all()


def test_every_robot_file_is_checked_here() -> None:
    """A file that is added gets its facts too."""
    assert FILES == [
        'aloha', 'aloha_2', 'aloha_ros2_control', 'aloha_sim', 'aloha_sim_interbotix',
        'aloha_sim_trajectory', 'libero_panda', 'openarm', 'piper', 'robocasa_panda', 'so101',
        'ur5e', 'widowx_ai',
    ]  # fmt: skip


@pytest.mark.parametrize('name', [n for n in FILES if not n.startswith(('aloha_sim', *SIMULATED))])
def test_file_says_that_it_was_not_tried_on_hardware(name: str) -> None:
    """Who reads it knows what to expect."""
    text = Path(FOLDER / f'{name}.yaml').read_text(encoding='utf-8').replace('\n# ', ' ').lower()
    assert 'never run on hardware' in text or 'not tried on hardware' in text


@pytest.mark.parametrize(
    ('name', 'release'), [('libero_panda', 'libero'), ('robocasa_panda', 'robocasa')]
)
def test_simulated_hand_is_that_of_its_release(name: str, release: Preset) -> None:
    """Seven numbers of -1 to 1, nine measured ones, 20 Hz, cameras as imported."""
    robot = read_robot(FOLDER / f'{name}.yaml', simulated=True)
    check_robot(preset(release), robot)
    assert (robot.size, robot.proprio_size, robot.control_rate_hz) == (7, 9, 20.0)
    assert (robot.lower.tolist(), robot.upper.tolist()) == ([-1.0] * 7, [1.0] * 7)


@pytest.mark.parametrize('name', SIMULATED)
def test_nothing_that_moves_arms_takes_displacements(name: str) -> None:
    """Neither the file, as every node reads it, nor the limits of the safety."""
    with pytest.raises(ConfigError, match='displacements, no joint targets: a simulator moves it'):
        read(name)
    robot = read_robot(FOLDER / f'{name}.yaml', simulated=True)
    with pytest.raises(ConfigError, match='displacements, which no limit of a joint holds for'):
        Limits.from_robot(robot)


def test_aloha_is_left_arm_first_on_the_interbotix_driver() -> None:
    """Interbotix/aloha@main: follower_left, follower_right, 14 numbers, four cameras."""
    robot = read('aloha')
    assert [a.name for a in robot.arms] == ['follower_left', 'follower_right']
    assert [(o.driver, o.topic) for o in outputs(robot)] == [
        ('interbotix', '/follower_left'), ('interbotix', '/follower_right'),
    ]  # fmt: skip
    assert robot.size == 14
    assert [a.joints for a in robot.arms] == [VIPERX, VIPERX]
    for arm in (0, 1):
        check_limits(robot, arm, VIPERX_LOWER, VIPERX_UPPER)
    names = ['cam_high', 'cam_low', 'cam_left_wrist', 'cam_right_wrist']
    assert [c.name for c in robot.cameras] == names


@pytest.mark.parametrize('name', ['aloha', 'aloha_2'])
def test_leaders_of_an_aloha_are_made_light_by_the_node_that_its_bring_up_starts(
    name: str,
) -> None:
    """Interbotix/aloha launch/aloha_bringup.launch.py: one in the namespace of every leader."""
    leaders = [arm.leader for arm in read(name).arms if arm.leader]
    assert sorted(leader.free_service for leader in leaders) == [
        '/leader_left/gravity_compensation_enable', '/leader_right/gravity_compensation_enable',
    ]  # fmt: skip


def test_aloha_2_is_right_arm_first_with_its_own_camera_names() -> None:
    """Interbotix/aloha@2.0 config/robot/aloha_stationary.yaml: arms, cameras and their order."""
    robot = read('aloha_2')
    assert [a.name for a in robot.arms] == ['follower_right', 'follower_left']
    assert robot.joint_names[0] == 'follower_right/waist'
    assert robot.joint_names[13] == 'follower_left/gripper'
    leaders = [a.leader.joint_state_topic for a in robot.arms if a.leader]
    assert leaders == ['/leader_right/joint_states', '/leader_left/joint_states']
    assert [c.topic for c in robot.cameras] == [
        '/camera_high/camera/color/image_rect_raw',
        '/camera_low/camera/color/image_rect_raw',
        '/camera_wrist_right/camera/color/image_rect_raw',
        '/camera_wrist_left/camera/color/image_rect_raw',
    ]
    sizes = {(c.width, c.height, c.rate_hz) for c in robot.cameras}
    assert sizes == {(640, 480, 60.0)}  # profile "640,480,60"
    for arm in (0, 1):
        check_limits(robot, arm, VIPERX_LOWER, VIPERX_UPPER)


def test_aloha_on_ros2_control_has_a_controller_of_six_and_one_of_the_finger() -> None:
    """interbotix_xsarm_ros_control/config/controllers/vx300s_controllers.yaml@humble."""
    robot = read('aloha_ros2_control')
    assert [(o.driver, o.topic, o.joints) for o in outputs(robot)] == [
        ('trajectory', '/follower_left/arm_controller/joint_trajectory', VIPERX),
        ('trajectory', '/follower_left/gripper_controller/joint_trajectory', ('left_finger',)),
        ('trajectory', '/follower_right/arm_controller/joint_trajectory', VIPERX),
        ('trajectory', '/follower_right/gripper_controller/joint_trajectory', ('left_finger',)),
    ]
    for arm in (0, 1):
        check_limits(robot, arm, VIPERX_LOWER, VIPERX_UPPER)
    hand = robot.arms[0].gripper
    assert hand is not None
    assert (hand.command_closed, hand.command_open) == (0.021, 0.057)  # finger_limit_lower, _upper


def test_openarm_has_two_arms_of_seven_in_one_joint_state_topic() -> None:
    """enactic/openarm_ros2@main openarm_v10_bimanual_controllers.yaml; openarm_description v10."""
    robot = read('openarm')
    left = tuple(f'openarm_left_joint{i}' for i in range(1, 8))
    right = tuple(f'openarm_right_joint{i}' for i in range(1, 8))
    assert [(o.driver, o.topic, o.joints) for o in outputs(robot)] == [
        ('forward', '/left_forward_position_controller/commands', left),
        (
            'gripper_command', '/left_gripper_controller/gripper_cmd',
            ('openarm_left_finger_joint1',),
        ),
        ('forward', '/right_forward_position_controller/commands', right),
        (
            'gripper_command', '/right_gripper_controller/gripper_cmd',
            ('openarm_right_finger_joint1',),
        ),
    ]  # fmt: skip
    assert robot.joint_state_topics == ('/joint_states',)
    assert robot.size == 16
    assert robot.joint_state_rate_hz == 100.0  # update_rate
    # joint_limits.yaml; openarm_arm.xacro turns the left joint1 by -2.094396 and both joint2 by
    # half pi to their side
    check_limits(
        robot, 0,
        [-3.490659, -3.316125, -1.570796, 0.0, -1.570796, -0.785398, -1.570796],
        [1.396263, 0.174533, 1.570796, 2.443461, 1.570796, 0.785398, 1.570796],
    )  # fmt: skip
    check_limits(
        robot, 1,
        [-1.396263, -0.174533, -1.570796, 0.0, -1.570796, -0.785398, -1.570796],
        [3.490659, 3.316125, 1.570796, 2.443461, 1.570796, 0.785398, 1.570796],
    )  # fmt: skip
    highest = [16.754666, 16.754666, 5.445426, 5.445426, 20.943946, 20.943946, 20.943946]
    assert (np.array(robot.arms[0].max_speed) <= highest).all()
    hand = robot.arms[0].gripper
    assert hand is not None
    assert (hand.command_closed, hand.command_open) == (0.0, 0.044)  # openarm_hand_macro.xacro


def test_widowx_ai_has_trajectories_and_parallel_grippers() -> None:
    """TrossenRobotics/trossen_arm_ros@jazzy dual_arm_controllers.yaml; trossen_arm_description."""
    robot = read('widowx_ai')
    first = tuple(f'trossen_arm_1/joint_{i}' for i in range(6))
    second = tuple(f'trossen_arm_2/joint_{i}' for i in range(6))
    assert [(o.driver, o.topic, o.joints) for o in outputs(robot)] == [
        ('trajectory', '/trossen_arm_1/arm_controller/joint_trajectory', first),
        (
            'parallel_gripper', '/trossen_arm_1/gripper_controller/gripper_cmd',
            ('trossen_arm_1/left_carriage_joint',),
        ),
        ('trajectory', '/trossen_arm_2/arm_controller/joint_trajectory', second),
        (
            'parallel_gripper', '/trossen_arm_2/gripper_controller/gripper_cmd',
            ('trossen_arm_2/left_carriage_joint',),
        ),
    ]  # fmt: skip
    assert robot.joint_state_rate_hz == 100.0  # update_rate
    for arm in (0, 1):  # urdf/generated/wxai/wxai_follower.urdf
        check_limits(
            robot, arm,
            [-3.054326, 0.0, 0.0, -1.570796, -1.570796, -3.141593],
            [3.054326, 3.141593, 2.356194, 1.570796, 1.570796, 3.141593],
        )  # fmt: skip
        assert robot.arms[arm].max_speed == (3.375, 3.375, 3.375, 7.0, 7.0, 7.0)
    hand = robot.arms[0].gripper
    assert hand is not None
    assert (hand.command_closed, hand.command_open) == (0.0, 0.044)
    assert hand.max_speed * 0.044 == pytest.approx(0.0875, abs=0.001)  # m/s


def test_piper_gets_seven_numbers_with_speed_and_force() -> None:
    """agilexrobotics/Piper_ros@ros-humble-no-aloha piper_ctrl_single_node.py and its URDF."""
    robot = read('piper')
    assert [(o.driver, o.topic) for o in outputs(robot)] == [
        ('joint_state', '/left/joint_ctrl_single'), ('joint_state', '/right/joint_ctrl_single'),
    ]  # fmt: skip
    names = ('joint0', 'joint1', 'joint2', 'joint3', 'joint4', 'joint5', 'joint6')
    assert [o.joints for o in outputs(robot)] == [names, names]
    (output, _) = outputs(robot)
    assert len(output.velocities) == len(output.efforts) == 7  # it ignores any other length
    assert 0 <= output.velocities[6] <= 100
    assert 0.5 <= output.efforts[6] <= 3
    for arm in (0, 1):
        check_limits(
            robot, arm,
            [-2.618, 0.0, -2.967, -1.832, -1.22, -3.14], [2.618, 3.14, 0.0, 1.832, 1.22, 3.14],
        )  # fmt: skip
    hand = robot.arms[0].gripper
    assert hand is not None
    assert hand.command_open == 0.08  # it clips to 80000 micrometres


def test_so101_has_a_forward_controller_of_five_and_a_parallel_gripper() -> None:
    """JafarAbdi/ros2_so_arm100 so_arm101_description ros2_controllers.yaml and its URDF."""
    robot = read('so101')
    joints = ('shoulder_pan', 'shoulder_lift', 'elbow_flex', 'wrist_flex', 'wrist_roll')
    left, right = (tuple(f'{side}_{j}_joint' for j in joints) for side in ('left', 'right'))
    assert [(o.driver, o.topic, o.joints) for o in outputs(robot)] == [
        ('forward', '/left/forward_position_controller/commands', left),
        ('parallel_gripper', '/left/gripper_controller/gripper_cmd', ('left_gripper_joint',)),
        ('forward', '/right/forward_position_controller/commands', right),
        ('parallel_gripper', '/right/gripper_controller/gripper_cmd', ('right_gripper_joint',)),
    ]
    assert robot.size == 12
    assert robot.control_rate_hz == 50.0  # update_rate; faster commands would be lost
    for arm in (0, 1):
        check_limits(
            robot, arm,
            [-1.91986, -1.74533, -1.69, -1.6, -2.3], [1.91986, 1.74533, 1.54, 1.6, 2.3],
        )  # fmt: skip


def test_ur5e_is_one_arm_without_a_gripper() -> None:
    """Universal_Robots_ROS2_Driver ur_controllers.yaml; ur_description ur5e/joint_limits.yaml."""
    robot = read('ur5e')
    (output,) = outputs(robot)
    assert (output.driver, output.topic) == ('forward', '/forward_position_controller/commands')
    assert output.joints == (
        'shoulder_pan_joint', 'shoulder_lift_joint', 'elbow_joint',
        'wrist_1_joint', 'wrist_2_joint', 'wrist_3_joint',
    )  # fmt: skip
    assert robot.size == 6
    assert robot.arm_joints.all()
    tau = 6.283185
    check_limits(
        robot, 0, [-tau, -tau, -3.141593, -tau, -tau, -tau], [tau, tau, 3.141593, tau, tau, tau]
    )
    assert (np.array(robot.arms[0].max_speed) <= np.pi).all()
    assert robot.arms[0].max_acceleration == (5.0,) * 6  # ur_moveit_config joint_limits.yaml
    assert robot.joint_state_rate_hz == 500.0  # ur5e_update_rate.yaml

# SPDX-License-Identifier: Apache-2.0
"""Motions by name as poses and commands over time; no ROS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from command_line import refused
from cosmos_policy_ros.control.arm_motions import (
    home_poses,
    jog_poses,
    motion_poses,
    park_poses,
    sweep_poses,
    trace,
)
from cosmos_policy_ros.control.collision import Scene
from cosmos_policy_ros.robot import read_robot
import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / 'config' / 'robots'
ROBOT = read_robot(FOLDER / 'aloha.yaml')
SOMEWHERE = np.array([0.3, -1.0, 1.0, 0.1, -0.2, 0.3, 0.7] * 2)


def test_home_moves_the_arms_before_the_grippers() -> None:
    """What a gripper holds is carried and then let go."""
    first, last = home_poses(ROBOT, SOMEWHERE)
    assert first.tolist() == pytest.approx([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.7] * 2)
    assert last.tolist() == pytest.approx([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.0] * 2)


def test_a_motion_that_a_robot_cannot_do_is_refused_before_anybody_is_asked() -> None:
    """In one line, which says what is missing; nothing is started."""
    file = str(FOLDER / 'aloha_sim.yaml')
    assert 'has no sleep pose; give sleep: in the robot file' in refused(
        'arms', 'park', '--robot', file
    )
    with pytest.raises(ValueError, match="no motion 'dance'; give one of home, park, jog"):
        motion_poses(ROBOT, 'dance', SOMEWHERE)


def test_park_moves_a_sleep_pose_outside_of_the_range_into_it() -> None:
    """With a margin, since a motor takes no command beyond its end."""
    vendors = (0.0, -2.05, 1.7, 0.0, -2.0, 0.0, 0.0)
    robot = replace(ROBOT, arms=tuple(replace(arm, sleep=vendors) for arm in ROBOT.arms))
    *_, last = park_poses(robot, SOMEWHERE)
    wanted = [0.0, -1.83005, 1.5857, 0.0, -1.8475, 0.0, 0.0]
    assert last.tolist() == pytest.approx(wanted * 2, abs=1e-5)


def test_park_without_a_sleep_pose_is_refused() -> None:
    """None is guessed."""
    with pytest.raises(ValueError, match='follower_left, follower_right has no sleep pose'):
        park_poses(read_robot(FOLDER / 'aloha_sim.yaml'), SOMEWHERE)


@pytest.mark.parametrize('name', ['aloha', 'aloha_sim_interbotix'])
def test_the_way_to_the_sleep_pose_keeps_its_distance(name: str) -> None:
    """Else the executor would stop the arms on the way."""
    robot = read_robot(FOLDER / f'{name}.yaml')
    scene = Scene(robot)
    _, positions = trace(park_poses(robot, robot.start.astype(np.float64)), 50.0, 0.3)
    assert min(scene.clearance(pose).distance_m for pose in positions) > 2 * robot.clearance_m


def test_jog_moves_one_joint_there_and_back() -> None:
    """The others stay."""
    first, moved, last = jog_poses(ROBOT, SOMEWHERE, 'follower_right/elbow', -0.1)
    assert (moved - first).tolist() == pytest.approx([0.0] * 9 + [-0.1] + [0.0] * 4)
    assert last.tolist() == SOMEWHERE.tolist()


def test_jog_out_of_the_range_is_refused() -> None:
    """The limits would cut it, and it would look as if the joint did not follow."""
    pose = SOMEWHERE.copy()
    pose[1] = 1.2
    with pytest.raises(ValueError, match=r'a step of \+0.100 leaves its range -1.850 to 1.257'):
        jog_poses(ROBOT, pose, 'follower_left/shoulder', 0.1)


def test_jog_of_an_unknown_joint_names_the_known_ones() -> None:
    """With their arms."""
    with pytest.raises(ValueError, match="no joint 'waist'; aloha has follower_left/waist, "):
        jog_poses(ROBOT, SOMEWHERE, 'waist', 0.1)


def test_sweep_moves_nothing_but_the_grippers() -> None:
    """Open, closed, open."""
    poses = np.array(sweep_poses(ROBOT, SOMEWHERE))
    assert poses[:, 6].tolist() == [1.0, 0.0, 1.0]
    assert np.ptp(poses, axis=0)[ROBOT.arm_joints].max() == 0.0


def test_arms_without_a_gripper_have_no_sweep() -> None:
    """Nothing moves then."""
    with pytest.raises(ValueError, match='ur5e has no gripper'):
        sweep_poses(read_robot(FOLDER / 'ur5e.yaml'), np.zeros(6))


def test_commands_are_no_faster_than_asked_and_rest_at_every_pose() -> None:
    """0.9 rad at 0.3 rad/s take 1.875 times as long as at a steady pace."""
    time_s, positions = trace([np.zeros(1), np.array([0.9])], 50.0, 0.3)
    speed = np.diff(positions[:, 0]) * 50.0
    assert 0.29 < speed.max() < 0.301
    assert time_s[-1] == pytest.approx(0.6 + 0.9 * 1.875 / 0.3 + 0.6, abs=0.05)
    assert np.ptp(positions[:30]) == 0.0
    assert np.ptp(positions[-30:]) == 0.0

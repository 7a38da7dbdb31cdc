# SPDX-License-Identifier: Apache-2.0
"""The simulated scene as the robot of a robot file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.robot_scene import arm_targets, load_scene
from cosmos_policy_ros.types import ConfigError
import pytest

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
ARM = ROBOT.arms[0]


def test_camera_that_the_scene_lacks_is_refused() -> None:
    """Both lists are named, before anything is published."""
    camera = replace(ROBOT.cameras[0], name='ceiling')
    with pytest.raises(ConfigError, match=r'the simulator has the cameras .*ceiling'):
        load_scene('transfer_cube', replace(ROBOT, cameras=(camera,)))


def test_cameras_of_two_sizes_are_refused() -> None:
    """The scene draws all its images in one."""
    cameras = (replace(ROBOT.cameras[0], height=48), *ROBOT.cameras[1:])
    with pytest.raises(ConfigError, match='all of one size'):
        load_scene('transfer_cube', replace(ROBOT, cameras=cameras))


def test_gripper_command_becomes_an_opening() -> None:
    """A finger at 0.058 m is fully open; the joints stay as they are."""
    command = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.058]
    assert arm_targets(ARM, command).tolist() == pytest.approx([*command[:6], 1.0], abs=1e-3)


def test_command_with_a_nan_or_of_another_length_is_refused() -> None:
    """The topic and what it needs are named."""
    with pytest.raises(ValueError, match='needs 7 finite numbers, ignored'):
        arm_targets(ARM, [0.0] * 6)
    with pytest.raises(ValueError, match='needs 7 finite numbers, ignored'):
        arm_targets(ARM, [0.0] * 6 + [float('nan')])

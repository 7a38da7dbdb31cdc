# SPDX-License-Identifier: Apache-2.0
"""The simulated scene as the robot of a robot file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.robot_scene import load_scene
from cosmos_policy_ros.types import ConfigError
import pytest

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')


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

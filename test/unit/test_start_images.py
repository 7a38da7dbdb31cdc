# SPDX-License-Identifier: Apache-2.0
"""The start state of a recording, and how far the cameras are from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bags import ROBOT, write_rollout
from cosmos_policy_ros.data.bags.start_images import list_references, read_start_images
from cosmos_policy_ros.ros.image_wall import compose_wall, find_differences
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest
from samples import sample_image


def test_the_first_image_of_every_camera_is_read(tmp_path: Path) -> None:
    """The rollout gets brighter from black."""
    write_rollout(tmp_path / 'episode_000000')
    images = read_start_images(tmp_path / 'episode_000000', ROBOT)
    assert {name: image.shape for name, image in images.items()} == {
        'high': (24, 32, 3), 'left_wrist': (24, 32, 3), 'right_wrist': (24, 32, 3),
    }  # fmt: skip
    assert max(image.max() for image in images.values()) == 0


def test_references_are_bags_in_the_order_of_their_names(tmp_path: Path) -> None:
    """One, or a folder of them; where there is none it is said."""
    for name in ('b', 'a'):
        write_rollout(tmp_path / name)
    (tmp_path / 'notes').mkdir()
    assert list_references(tmp_path) == [tmp_path / 'a', tmp_path / 'b']
    assert list_references(tmp_path / 'b') == [tmp_path / 'b']
    with pytest.raises(ConfigError, match=r'no bag in .*notes whose first images could be shown'):
        list_references(tmp_path / 'notes')


def test_a_bag_without_a_camera_is_no_start_state(tmp_path: Path) -> None:
    """The camera that is missing is named."""
    write_rollout(tmp_path / 'a')
    camera = replace(ROBOT.cameras[0], topic='/front/image_raw')
    with pytest.raises(ConfigError, match='no image on /front/image_raw; it is no start state'):
        read_start_images(tmp_path / 'a', replace(ROBOT, cameras=(camera,)))


def test_a_piece_that_lies_elsewhere_is_found_and_noise_is_not() -> None:
    """In the camera that shows it; what is predicted below counts nothing."""
    rng = np.random.default_rng(0)
    before = {camera.name: sample_image(1) for camera in ROBOT.cameras}
    noisy = {
        name: (image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)
        for name, image in before.items()
    }
    start = compose_wall(ROBOT.cameras, before, {}, None)
    same = find_differences(ROBOT.cameras, compose_wall(ROBOT.cameras, noisy, before, 1.0), start)
    assert max(same.values()) < 4.0
    moved = noisy | {'high': np.roll(noisy['high'], 10, axis=1)}
    other = find_differences(ROBOT.cameras, compose_wall(ROBOT.cameras, moved, {}, None), start)
    assert other['high'] > 12.0
    assert other['left_wrist'] < 4.0


def test_a_wall_that_is_drawn_over_shows_nothing_of_before() -> None:
    """Neither a longer caption nor a view that is missing now."""
    white = np.full((240, 320, 3), 255, np.uint8)
    images = {camera.name: white for camera in ROBOT.cameras}
    wall = compose_wall(ROBOT.cameras, images, images, -12.3)
    assert compose_wall(ROBOT.cameras, {}, {'high': white}, None, wall) is wall
    assert wall[400, [160, 480]].tolist() == [[255] * 3, [24] * 3]
    assert np.array_equal(wall, compose_wall(ROBOT.cameras, {}, {'high': white}, None))
    compose_wall(ROBOT.cameras, images, None, None, wall)
    assert np.array_equal(wall, compose_wall(ROBOT.cameras, images, {'high': white}, None))


def test_images_of_other_cameras_are_not_compared() -> None:
    """The reference is of another robot."""
    start = compose_wall(ROBOT.cameras[:2], {}, {}, None)
    wall = compose_wall(ROBOT.cameras, {}, {}, None)
    with pytest.raises(ValueError, match='are not both of 3 cameras'):
        find_differences(ROBOT.cameras, wall, start)

# SPDX-License-Identifier: Apache-2.0
"""What the cameras showed when recorded episodes began, so that others can begin from there."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.data.bags.files import is_bag, open_bag
from cosmos_policy_ros.data.bags.sources import camera_topic
from cosmos_policy_ros.image_decoder import ImageDecoder
from cosmos_policy_ros.outputs import PARTIAL
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray


def list_references(path: Path) -> list[Path]:
    """Return the bags of a path, a bag or a folder of them, in the order of their names.

    Raises:
        ConfigError: There is none.
    """
    if is_bag(path):
        return [path]
    inside = sorted(path.iterdir()) if path.is_dir() else []
    found = [p for p in inside if PARTIAL not in p.suffixes and is_bag(p)]
    if not found:
        msg = f'no bag in {path} whose first images could be shown; name a bag or a folder of them'
        raise ConfigError(msg)
    return found


def read_start_images(path: Path, robot: RobotSpec) -> dict[str, NDArray[np.uint8]]:
    """Return camera -> (height, width, 3) uint8 RGB, the first image in a bag.

    Args:
        path: The bag.
        robot: Robot with the cameras.

    Raises:
        ConfigError: It cannot be read, or a camera shows nothing in it.
    """
    images: dict[str, NDArray[np.uint8]] = {}
    with open_bag(path) as bag:
        cameras = {camera_topic(bag.types, c.topic): c for c in robot.cameras}
        topics = {topic for topic in cameras if topic is not None}
        decoders = {topic: ImageDecoder() for topic in topics}  # video needs what came before
        for topic, _, data in bag.messages(topics):
            camera = cameras[topic]
            if camera.name not in images:
                image = decoders[topic].decode(bag.decode(topic, data), camera.colours)
                if image is not None:
                    images[camera.name] = image.copy()
            if len(images) == len(robot.cameras):
                return images
    missing = [camera.topic for camera in robot.cameras if camera.name not in images]
    msg = f'episode {path}: no image on {", ".join(missing)}; it is no start state of {robot.name}'
    raise ConfigError(msg)

# SPDX-License-Identifier: Apache-2.0
"""An episode of rows as series for a report, as ``bags/overview.py`` has them of a bag."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.data.bags.overview import Overview, Timing
from cosmos_policy_ros.data.bags.series import Series
from cosmos_policy_ros.image_decoder import IMAGE
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import Episode
import numpy as np


def overview_of(path: Path, episode: Episode, robot: RobotSpec, n_images: int = 8) -> Overview:
    """Return what an episode of an HDF5 file or a LeRobot data set holds.

    Args:
        path: File, or folder and name of the episode.
        episode: What was read.
        robot: Its joints and cameras.
        n_images: Images kept per camera, evenly over time.
    """
    time_s = (episode.stamps_ns - episode.stamps_ns[0]) * 1e-9
    seconds = float(time_s[-1])
    about = {'task': episode.task, 'source': episode.source, 'robot': robot.name}
    about['rate_hz'] = f'{episode.rate_hz:g}'
    if episode.success is not None:
        about['success'] = str(episode.success).lower()
    topics, images = {}, {}
    for camera in robot.cameras:
        index = episode.image_index[camera.name]
        first = np.flatnonzero(np.diff(index, prepend=-1))  # rows at which an image is new
        topics[camera.topic] = Timing(IMAGE, time_s[first], seconds, None)
        rows = np.linspace(0, len(first) - 1, min(n_images, len(first))).round().astype(int)
        shown = episode.images[camera.name]
        images[camera.topic] = [
            (float(time_s[tick]), np.asarray(shown[int(index[tick])])) for tick in first[rows]
        ]
    return Overview(
        path,
        about,
        robot,
        seconds,
        topics,
        robot.joint_names,
        Series(time_s, episode.actions.astype(np.float64)),
        {
            arm.name: Series(time_s, episode.proprio[:, mine].astype(np.float64))
            for arm, mine in zip(robot.arms, robot.arm_slices, strict=True)
        },
        images=images,
    )

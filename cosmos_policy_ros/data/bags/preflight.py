# SPDX-License-Identifier: Apache-2.0
"""Whether an episode may begin or go on: streams that are too old, a disk that is almost full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
import shutil

from cosmos_policy_ros.robot import RobotSpec


def stream_rates(robot: RobotSpec) -> dict[str, float]:
    """Return topic -> nominal rate [Hz] of all cameras and joint states."""
    cameras = {camera.topic: camera.rate_hz for camera in robot.cameras}
    return cameras | dict.fromkeys(robot.joint_state_topics, robot.joint_state_rate_hz)


def find_stale(
    newest_ns: Mapping[str, int], topics: Iterable[str], now_ns: int, max_age_s: float
) -> str:
    """Return every topic that is too old and how old, empty when none is.

    Args:
        newest_ns: Topic -> when its newest message arrived [ns, ROS clock].
        topics: Topics that matter.
        now_ns: Now [ns, ROS clock].
        max_age_s: Highest age [s].
    """
    found = []
    for topic in topics:
        if topic not in newest_ns:
            found.append(f'{topic} has sent nothing yet')
        elif (age_s := (now_ns - newest_ns[topic]) * 1e-9) > max_age_s:
            found.append(f'{topic} is {age_s:.2f} s old')
    return f'{", ".join(found)}; limit {max_age_s} s' if found else ''


def find_full(folder: Path, min_free_mb: float) -> str:
    """Return that a disk is almost full or gone, empty when it is neither.

    Args:
        folder: Folder on the disk.
        min_free_mb: What must stay free [MB of 10**6 bytes].
    """
    free = free_bytes(folder)
    if free is None:
        return f'{folder} is gone; is its disk still there'
    free_mb = free / 1e6
    if free_mb >= min_free_mb:
        return ''
    return f'{folder}: {free_mb:.0f} MB are free, limit {min_free_mb:.0f} MB; make room'


def free_bytes(folder: Path) -> int | None:
    """Return what is free on the disk of a folder [bytes], None where the folder is gone."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # a disk that was pulled out
        return None

# SPDX-License-Identifier: Apache-2.0
"""Slow motions from pose to pose that a person asks for by name: home, park, jog, gripper sweep.

Each is a list of poses to come by, at rest in each of them. ``trace`` makes the commands over time
of it that ``control/replay.py`` makes chunks of, as of a recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
import math

from cosmos_policy_ros.control.replay import least_jerk, PEAK
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

Pose = NDArray[np.float64]  # (A,) [rad; gripper 0..1]
MOTIONS = ('home', 'park', 'jog', 'grippers')
PARK_MARGIN_RAD = 0.02  # [rad] from the end of a range: a motor takes no command beyond it
REST_S = 0.6  # [s] at every pose
SHORTEST_S = 0.5  # [s] from one pose to the next


def motion_poses(
    robot: RobotSpec, motion: str, pose: Pose, joint: str = '', step: float = 0.0
) -> list[Pose]:
    """Return the poses that a motion comes by.

    Args:
        robot: The robot.
        motion: One of ``MOTIONS``.
        pose: (A,) where it is.
        joint: Joint that ``jog`` moves, a name as in ``RobotSpec.joint_names``.
        step: How far [rad; gripper 0..1].

    Raises:
        ValueError: There is no such motion, or it cannot be done from there.
    """
    if motion == 'home':
        return home_poses(robot, pose)
    if motion == 'park':
        return park_poses(robot, pose)
    if motion == 'jog':
        return jog_poses(robot, pose, joint, step)
    if motion == 'grippers':
        return sweep_poses(robot, pose)
    msg = f'no motion {motion!r}; give one of {", ".join(MOTIONS)}'
    raise ValueError(msg)


def check_motion(robot: RobotSpec, motion: str, joint: str = '', step: float = 0.0) -> None:
    """Refuse a motion that a robot cannot do; arguments as of ``motion_poses``.

    Raises:
        ConfigError: There is no such motion, or it cannot be done from the start pose.
    """
    try:
        motion_poses(robot, motion, robot.start.astype(np.float64), joint, step)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def home_poses(robot: RobotSpec, pose: Pose) -> list[Pose]:
    """Return the poses to the start pose: the arms first, then the grippers.

    Args:
        robot: Robot with the start pose.
        pose: (A,) where it is.
    """
    start = robot.start.astype(np.float64)
    return [np.where(robot.arm_joints, start, pose), start]


def park_poses(robot: RobotSpec, pose: Pose) -> list[Pose]:
    """Return the poses over the start pose to the sleep pose, moved into the limits.

    Args:
        robot: Robot with start and sleep pose.
        pose: (A,) where it is.

    Raises:
        ValueError: An arm has no sleep pose.
    """
    without = [arm.name for arm in robot.arms if not arm.sleep]
    if without:
        msg = f'{", ".join(without)} has no sleep pose; give sleep: in the robot file, as start:'
        raise ValueError(msg)
    margin = np.where(robot.arm_joints, PARK_MARGIN_RAD, 0.0)
    sleep = np.clip(robot.sleep, robot.lower + margin, robot.upper - margin).astype(np.float64)
    return [*home_poses(robot, pose), sleep]


def jog_poses(robot: RobotSpec, pose: Pose, joint: str, step: float) -> list[Pose]:
    """Return the poses that move one joint by a step and back.

    Args:
        robot: The robot.
        pose: (A,) where it is.
        joint: Name as in ``RobotSpec.joint_names``.
        step: How far [rad; gripper 0..1].

    Raises:
        ValueError: There is no such joint, or the step leaves its range.
    """
    if joint not in robot.joint_names:
        msg = f'no joint {joint!r}; {robot.name} has {", ".join(robot.joint_names)}'
        raise ValueError(msg)
    i = robot.joint_names.index(joint)
    moved = pose.copy()
    moved[i] += step
    low, high = float(robot.lower[i]), float(robot.upper[i])
    if not low <= moved[i] <= high:
        msg = (
            f'{joint} is at {pose[i]:.3f}, and a step of {step:+.3f} leaves its range {low:.3f} '
            f'to {high:.3f}; step the other way'
        )
        raise ValueError(msg)
    return [pose, moved, pose]


def sweep_poses(robot: RobotSpec, pose: Pose) -> list[Pose]:
    """Return the poses that open all grippers, close them and open them again.

    Args:
        robot: The robot.
        pose: (A,) where it is.

    Raises:
        ValueError: It has no gripper.
    """
    if robot.arm_joints.all():
        msg = f'{robot.name} has no gripper'
        raise ValueError(msg)
    opened, closed = (np.where(robot.arm_joints, pose, x) for x in (1.0, 0.0))
    return [opened, closed, opened]


def trace(
    poses: Sequence[Pose], rate_hz: float, speed: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the commands that go from pose to pose with the least jerk, at rest in each.

    Args:
        poses: (A,) poses.
        rate_hz: Rows per second [Hz].
        speed: Highest speed of any joint [rad/s; gripper 1/s].

    Returns:
        (S,) float64 times from 0 on [s], and (S, A) float64 positions [rad; gripper 0..1].
    """
    rest = round(REST_S * rate_hz)
    rows = [np.repeat(poses[0][None], rest, axis=0)]
    for begin, end in pairwise(poses):
        longest = float(np.abs(end - begin).max())
        n = math.ceil(max(SHORTEST_S, PEAK * longest / speed) * rate_hz)
        share = least_jerk(np.arange(1, n + 1) / n)[:, None]
        rows += [begin + share * (end - begin), np.repeat(end[None], rest, axis=0)]
    positions = np.concatenate(rows)
    return np.arange(len(positions)) / rate_hz, positions

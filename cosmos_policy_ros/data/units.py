# SPDX-License-Identifier: Apache-2.0
"""Rows of joints in other units than those of a robot: per cent of their range, and degrees.

LeRobot writes the joints of an SO-100 or SO-101 as -100 to 100 of the range of its calibration, or
in degrees, and the opening of the gripper as 0 to 100. Nothing in the data set says which.

Source: huggingface/lerobot ``motors/motors_bus.py`` (``_normalize``).
Differs: the ends of the range are those of the robot file, since the calibration is not in a data
set.
"""

from __future__ import annotations

from typing import Literal

from cosmos_policy_ros.robot import RobotSpec
import numpy as np
from numpy.typing import NDArray

Units = Literal['percent', 'degrees']
FULL = 100.0  # per cent at the end of a range, and of an open gripper
ROUNDED = 1.0  # [per cent] beyond the end of a range that may be
TURN_RAD = 7.0  # more than any joint of an arm turns from its middle, and few degrees


def to_radians(rows: NDArray[np.floating], units: Units, robot: RobotSpec) -> NDArray[np.float64]:
    """Return rows of joints in the units of a robot.

    Args:
        rows: (S, A) positions [per cent of the range from -100 to 100, or degrees; gripper
            0..100].
        units: Which of both.
        robot: Joints in action order, and the ends of their ranges.

    Returns:
        (S, A) [rad; gripper 0..1].

    Raises:
        ValueError: A joint is beyond its range; names it and its row.
    """
    if units == 'percent':
        beyond = (np.abs(rows) > FULL + ROUNDED) & robot.arm_joints
        if beyond.any():
            row, joint = np.argwhere(beyond)[0].tolist()
            msg = f'{robot.joint_names[joint]} is {rows[row, joint]:g} in row {row}; -100 to 100 '
            msg += 'per cent of its range are expected. Are these degrees? --units degrees'
            raise ValueError(msg)
        of_range = (rows + FULL) / (2.0 * FULL)
        joints = robot.lower + of_range * (robot.upper - robot.lower)
    else:
        joints = np.deg2rad(rows)
    return np.where(robot.arm_joints, joints, rows / FULL)


def suggest_units(rows: NDArray[np.floating], robot: RobotSpec) -> str:
    """Return what joints that go too far for radians may be, empty where they do not.

    Args:
        rows: (S, A) positions.
        robot: Joints in action order.
    """
    farthest = float(np.abs(rows[:, robot.arm_joints]).max())
    if farthest <= TURN_RAD:
        return ''
    asked = 'are these degrees (--units degrees)'
    if farthest <= FULL + ROUNDED:
        asked += ", or per cent of their range, as of LeRobot's SO-101 (--units percent)"
    return f'; its joints go up to {farthest:.0f} rad: {asked}?'

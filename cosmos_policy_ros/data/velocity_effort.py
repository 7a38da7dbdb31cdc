# SPDX-License-Identifier: Apache-2.0
"""Joint velocities and efforts of an episode: whole for every arm and tick, or not at all.

Policies need positions, so an episode without these streams is a good one. What only one arm or
some messages have is left out with one line in the log: zeros would mean that the robot stood
still.
"""

from __future__ import annotations

from collections.abc import Sequence
import logging
from typing import Any

from cosmos_policy_ros.align import arm_pose
from cosmos_policy_ros.robot import ArmSpec, RobotSpec
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)
STREAMS = ('velocity', 'effort')  # fields of an Episode and of a sensor_msgs/JointState


def collect_streams(
    robot: RobotSpec, joint_states: Sequence[Sequence[Any]], where: str
) -> dict[str, NDArray[np.float32] | None]:
    """Return stream -> (S, P) float32 in the order of the positions, or None.

    Args:
        robot: Joints, and the maps of the grippers.
        joint_states: S ticks, each with the sensor_msgs/JointState of every arm that counts then.
        where: Episode, for the log.
    """
    return {stream: _joined(robot, joint_states, stream, where) for stream in STREAMS}


def check_rows(
    rows: NDArray[Any] | None, shape: tuple[int, ...], where: str
) -> NDArray[np.float32] | None:
    """Return the rows of a stream in a data set as float32, or None where they are no good.

    Args:
        rows: What the data set holds, if it does.
        shape: Shape of the positions.
        where: Episode and name of the stream, for the log.
    """
    if rows is None:
        return None
    if rows.shape != shape:
        logger.warning('%s is left out: shape %s, positions have %s', where, rows.shape, shape)
        return None
    numbers = rows.astype(np.float32)
    bad = int((~np.isfinite(numbers)).sum())
    if bad:
        logger.warning('%s is left out: %d NaN or infinite numbers', where, bad)
        return None
    return numbers


def _joined(
    robot: RobotSpec, joint_states: Sequence[Sequence[Any]], stream: str, where: str
) -> NDArray[np.float32] | None:
    """Return one stream of all arms side by side."""
    by_arm = [
        [_row(arm, tick[i], stream) for tick in joint_states] for i, arm in enumerate(robot.arms)
    ]
    if all(row is None for rows in by_arm for row in rows):
        return None  # a driver that never measures it, such as Interbotix' simulated one
    faults, parts = [], []
    for arm, rows in zip(robot.arms, by_arm, strict=True):
        known = [row for row in rows if row is not None]
        topic, n_bad = arm.joint_state_topic, sum(not np.isfinite(row).all() for row in known)
        if len(known) < len(rows):
            faults.append(f'{topic} lacks it at {len(rows) - len(known)} of {len(rows)} ticks')
        elif n_bad:
            faults.append(f'{topic} has a NaN or infinite number at {n_bad} of {len(rows)} ticks')
        else:
            parts.append(np.stack(known))
    if faults:
        logger.warning('%s: %s is left out: %s', where, stream, '; '.join(faults))
        return None
    return np.concatenate(parts, axis=1)


def _row(arm: ArmSpec, message: Any, stream: str) -> NDArray[np.float32] | None:
    """Return (size,) float32 of a message whose positions were read, or None."""
    numbers = getattr(message, stream)
    if len(numbers) != len(message.name):
        return None
    by_name = dict(zip(message.name, numbers, strict=True))
    row = np.array([by_name[name] for name in arm.state_joints], dtype=np.float64)
    if stream == 'velocity':
        row /= arm.state_scale(arm_pose(arm, message))
    return row.astype(np.float32)

# SPDX-License-Identifier: Apache-2.0
"""The scale of a gripper from one slow sweep: what its joint measures at every commanded opening.

It is measured closing and opening, and the mean of both is free of how far the fingers lag behind.
"""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.gripper import GripperSpec
import numpy as np
from numpy.typing import NDArray

OPENINGS = np.linspace(0.0, 1.0, 11)
STRAIGHT = 0.02  # of the stroke: what a straight line may be off by
LEAST_STROKE = 0.3  # of the one in the robot file; a gripper that moves less holds something
NOISE = 0.01  # of the stroke: what a finger that stands may seem to move
DIGITS = 5
END = 1e-6  # from an end of the opening


def fit_scale(
    gripper: GripperSpec, commanded: NDArray[np.float64], measured: NDArray[np.float64]
) -> GripperSpec:
    """Return the gripper with the measured scale: ``state_closed``, ``_open``, ``_between``.

    Args:
        gripper: The gripper as the robot file has it.
        commanded: (S,) openings over time, from 1 to 0 and back to 1, at rest in each.
        measured: (S,) openings that the robot file's own scale makes of the measured positions.

    Raises:
        ValueError: It moved less than it should, or not one way from closed to open.
    """
    positions = gripper.to_state(measured)
    shut = np.flatnonzero(commanded <= END)
    closing, opening = slice(None, shut[0] + 1), slice(shut[-1], None)
    closed = float(np.median(positions[shut[len(shut) // 2 :]]))
    wide = np.flatnonzero(commanded >= 1.0 - END)
    wide = wide[wide > shut[-1]]
    opened = float(np.median(positions[wide[len(wide) // 2 :]]))
    before = abs(gripper.state_open - gripper.state_closed)
    if abs(opened - closed) < LEAST_STROKE * before:
        msg = (
            f'the gripper moved {abs(opened - closed):.4f} of {before:.4f} in the robot file; '
            'take out what it holds and see that it has torque'
        )
        raise ValueError(msg)
    inner = OPENINGS[1:-1]
    down = np.interp(-inner, -commanded[closing], positions[closing])
    up = np.interp(inner, commanded[opening], positions[opening])
    between = (down + up) / 2.0
    straight = closed + inner * (opened - closed)
    bent = np.abs(between - straight).max() > STRAIGHT * abs(opened - closed)
    closed, opened = round(closed, DIGITS), round(opened, DIGITS)
    return replace(
        gripper,
        state_closed=closed,
        state_open=opened,
        state_between=_advancing(between, closed, opened) if bent else (),
        linkage=None,
    )


def _advancing(
    between: NDArray[np.float64], closed: float, opened: float
) -> tuple[tuple[float, float], ...]:
    """Return rows of an opening and the position there, but for those that tell no farther.

    Near the dead centre of its crank a motor turns and the fingers stand, or go back by a hair.
    Whoever makes a gripper of the rows refuses others that are not in order.
    """
    rows: list[tuple[float, float]] = []
    last, stroke = closed, opened - closed
    for opening, position in zip(OPENINGS[1:-1], between, strict=True):
        there = round(float(position), DIGITS)
        gain = min((there - last) / stroke, (opened - there) / stroke)
        if -NOISE < gain <= 0.0:
            continue
        rows.append((round(float(opening), 2), there))
        last = there
    return tuple(rows)

# SPDX-License-Identifier: Apache-2.0
"""Rows of a data set that rosetta made: which column is which joint, and in which unit.

Its numbers are those of the messages, in degrees where the contract says so, and grippers in the
unit of their driver; nothing in the rows shows it. The contract lies beside the data set.

Source: iblnkn/rosetta@dfd07e4 ``sidecar.py`` and ``frames/layout.py`` (sources of a key one behind
the other).
"""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.data.rosetta.contract import Contract, read_contract
from cosmos_policy_ros.robot import RobotSpec
import numpy as np
from numpy.typing import NDArray

SIDECAR = 'meta/rosetta_contract.yaml'  # below the folder of a LeRobot data set
SCALES = {'rad2deg': np.pi / 180.0, 'clamp': 1.0}  # operator -> unit of the message per unit


def contract_beside(root: Path) -> Contract | None:
    """Return the contract by which a LeRobot data set was made, None where it has none.

    Raises:
        ConfigError: It is none that is known.
    """
    file = root / SIDECAR
    return read_contract(file) if file.is_file() else None


def rows_of_robot(
    rows: NDArray[np.floating], key: str, contract: Contract, robot: RobotSpec
) -> NDArray[np.float64]:
    """Return rows in the order and the units of a robot.

    Args:
        rows: (S, k) numbers of a key, as they are in the data set.
        key: ``observation.state``, or ``action``, whose grippers are in units of commands.
        contract: By which the data set was made.
        robot: Joints in action order.

    Returns:
        (S, A) float64 [rad; gripper 0..1].

    Raises:
        ValueError: The contract has another number of columns, lacks a joint, or does to numbers
            what nobody can undo.
    """
    commanded = key == 'action'
    sources = [s for s in (*contract.states, *contract.actions) if s.key == key]
    columns = [(source, joint) for source in sources for joint in source.columns]
    if rows.ndim != 2 or rows.shape[1] != len(columns):
        msg = f'{key} is of shape {rows.shape}, the contract has {len(columns)} columns'
        raise ValueError(msg)
    found = []
    for arm in robot.arms:
        joints = [j for o in arm.outputs for j in o.joints] if commanded else arm.state_joints
        for joint in joints:
            places = [i for i, (_, name) in enumerate(columns) if name == joint]
            mine = [i for i in places if arm.name in columns[i][0].topic]
            fitting = places if len(places) == 1 else mine
            if len(fitting) != 1:
                there = [f'{source.topic} {name}' for source, name in columns]
                msg = f'{key}: {joint} of {arm.name} is {len(places)} times among the columns '
                msg += f'{there} of the contract; expected is one, or one on a topic of the arm'
                raise ValueError(msg)
            found += fitting
    result = rows[:, found].astype(np.float64)
    for column, place in enumerate(found):
        for operator in columns[place][0].apply:
            if operator not in SCALES:
                msg = f'{key}: {operator!r} of the contract is not known, only {[*SCALES]} are'
                raise ValueError(msg)
            result[:, column] *= SCALES[operator]
    for arm, own in zip(robot.arms, robot.arm_slices, strict=True):
        for gripper in arm.grippers:
            numbers = result[:, own.stop - 1]
            result[:, own.stop - 1] = (
                gripper.opening_of_command(numbers)
                if commanded
                else gripper.opening_of_state(numbers)
            )
    return result

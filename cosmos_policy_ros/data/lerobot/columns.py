# SPDX-License-Identifier: Apache-2.0
"""Which column of a LeRobot data set is which joint, by the names that the data set gives.

Some sets have the right arm first. Names come as a list, as a list in a list, or under a key such
as ``motors`` or that of an arm; they carry the side and the joint, ``left_waist`` or
``follower_left/waist``.
"""

from __future__ import annotations

from collections.abc import Sequence
import re
from typing import Any

from cosmos_policy_ros.data.assemble import BASE
from cosmos_policy_ros.data.reading import note
from cosmos_policy_ros.robot import RobotSpec

MEANINGLESS = re.compile(r'(joint|motor|axis|dim|state|action|j|m)?_?\d+')  # a number, no name


def plain_names(names: Any, robot: RobotSpec) -> list[str]:
    """Return the names of a feature as one list, whatever shape they are in; empty without any.

    Args:
        names: As they are in ``meta/info.json``. Names under the name of an arm are of that arm.
        robot: Its arms.
    """
    if isinstance(names, str):
        return [names]
    if isinstance(names, dict):
        if all(str(number).isdecimal() for number in names.values()):
            return sorted(map(str, names), key=lambda name: int(names[name]))
        if all(str(number).isdecimal() for number in names):
            return [str(names[number]) for number in sorted(names, key=int)]
        names = [
            f'{key}/{name}' if len(robot.arms) > 1 and _arm_of(_words(key), robot) else name
            for key, part in names.items()
            for name in plain_names(part, robot)
        ]
    if isinstance(names, list) and any(isinstance(name, list) for name in names):
        names = [name for part in names for name in plain_names(part, robot)]
    return [str(name) for name in names or ()]


def find_columns(names: Sequence[str], robot: RobotSpec, n: int, where: str) -> list[int] | None:
    """Return the column of every joint of the robot, None where they are as they come.

    Args:
        names: Names of the columns, empty where the data set gives none.
        robot: Joints in action order.
        n: Number of columns.
        where: Data set and feature, for the log.

    Raises:
        ValueError: The names say another order, or none that can be told; has both.
    """
    if list(names) == list(robot.joint_names):
        return None
    matched = order_of(names, robot)
    if matched is not None and len(names) == n:
        return matched
    sides = [_arm_of(_words(name), robot) for name in names]
    known = [arm for arm in sides if arm is not None]
    own: list[str | None] = [arm.name for arm in robot.arms for _ in range(arm.size)]
    if not names or (
        all(MEANINGLESS.fullmatch(_bare(name, robot)) for name in names)
        and (not known or sides[: robot.size] == own)
        and _rise(names, robot)
    ):
        order = ', '.join(robot.joint_names)
        note(where, f'its columns have no names of joints; taken as {order}')
        return None
    msg = f'its columns are named {list(names)}, the joints are {list(robot.joint_names)}: '
    msg += 'nobody can tell which is which'
    if len(names) == robot.size + BASE:
        msg += f'; where the last {BASE} are those of a mobile base: --drop base'
    raise ValueError(msg)


def order_of(names: Sequence[str], robot: RobotSpec) -> list[int] | None:
    """Return the column of every joint by its name, None where one is not found exactly once."""
    columns = []
    for arm in robot.arms:
        mine = [i for i, name in enumerate(names) if _arm_of(_words(name), robot) == arm.name]
        for joint in arm.action_joints:
            exact = [i for i in mine if _bare(names[i], robot) == _bare(joint, robot)]
            if len(exact) != 1:
                return None
            columns += exact
    return columns


def _rise(names: Sequence[str], robot: RobotSpec) -> bool:
    """Return whether the numbers in names rise within every arm, and not back from arm to arm."""
    numbers = [int(re.findall(r'\d+', _bare(name, robot))[-1]) for name in names]
    arms = [part for mine in robot.arm_slices if (part := numbers[mine])]
    return arms == sorted(map(sorted, arms))


def _arm_of(words: Sequence[str], robot: RobotSpec) -> str | None:
    """Return the arm whose own words are in a name; the only arm needs none."""
    if len(robot.arms) == 1:
        return robot.arms[0].name
    found = [arm.name for arm in robot.arms if _marks(arm.name, robot) <= set(words)]
    return found[0] if len(found) == 1 else None


def _marks(arm: str, robot: RobotSpec) -> set[str]:
    """Return the words of an arm's name that no other arm has, such as ``left``."""
    others = {word for other in robot.arms if other.name != arm for word in _words(other.name)}
    return set(_words(arm)) - others


def _bare(name: str, robot: RobotSpec) -> str:
    """Return a name without the words of arms and without what others put around joints."""
    around = {word for arm in robot.arms for word in _words(arm.name)}
    around |= {'left', 'right', 'pos', 'position', 'arm', 'follower', 'main', 'robot', 'joint'}
    around |= {'vx300s'}
    return '_'.join(word for word in _words(name) if word not in around)


def _words(name: str) -> list[str]:
    return [word for word in re.split(r'[^a-z0-9]+', name.lower()) if word]

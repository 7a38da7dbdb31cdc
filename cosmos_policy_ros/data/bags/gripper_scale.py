# SPDX-License-Identifier: Apache-2.0
"""Whether a bag was recorded with the gripper scale that the robot file has now.

A bag keeps the robot file that it was recorded with. Its measured grippers are read by the scale
of today's, its commands are openings of the old one: where the two differ, the same opening is
another distance between the fingers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cosmos_policy_ros.data.bags.metadata_yaml import parse_metadata
from cosmos_policy_ros.robot import RobotSpec
import yaml

KEYS = tuple(
    f'{side}_{point}' for side in ('state', 'command') for point in ('closed', 'open', 'between')
)


def find_other_scale(metadata: Mapping[str, str], robot: RobotSpec) -> str:
    """Return which grippers had another scale when a bag was recorded; empty if none is known to.

    Args:
        metadata: Custom data of the bag.
        robot: What the robot file says now.
    """
    grippers = _recorded_grippers(metadata.get('robot_yaml', ''))
    found = []
    for arm in robot.arms:
        before = grippers.get(arm.name) or {}
        for key in KEYS if before else ():
            now = getattr(arm.gripper, key, None)
            then = before.get(key, () if arm.gripper else None)  # a table may be left out
            if _numbers(then) != _numbers(now):
                found.append(f'{key} of {arm.name} was {then}, is {now}')
    if not found:
        return ''
    return (
        f'recorded with another gripper scale: {"; ".join(found)}; record it again, or train and '
        'replay with the robot file of that time'
    )


def _recorded_grippers(robot_yaml: str) -> dict[str, dict[str, Any]]:
    """Return the grippers of a robot file by their arm, none of a damaged one."""
    try:
        arms = parse_metadata(robot_yaml)['arms']
        return {str(arm['name']): dict(arm.get('gripper') or {}) for arm in arms}
    except (yaml.YAMLError, TypeError, LookupError, ValueError, AttributeError):
        return {}


def _numbers(value: Any) -> Any:
    """Return a number or a table of them, as tuples."""
    return tuple(map(_numbers, value)) if isinstance(value, list | tuple) else value

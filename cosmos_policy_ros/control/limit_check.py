# SPDX-License-Identifier: Apache-2.0
"""The joint limits of a robot file against those of the robot's own description (URDF)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import math
from xml.etree import ElementTree

from cosmos_policy_ros.finding import Finding, judge
from cosmos_policy_ros.robot import ArmSpec

ROUNDING = 1e-3  # [rad, rad/s] by which written limits may differ


@dataclass(frozen=True)
class JointLimits:
    """Limits of a joint in a URDF.

    Attributes:
        lower: Lowest position [rad or m], minus infinity where it has none.
        upper: Highest position [rad or m], infinity where it has none.
        speed: Highest speed [rad/s or m/s], infinity where it has none.
    """

    lower: float
    upper: float
    speed: float


def read_limits(urdf: str) -> dict[str, JointLimits]:
    """Return joint -> its limits, of every joint of a URDF that moves.

    Raises:
        ValueError: The text is no XML, or a limit is no number.
    """
    try:
        root = ElementTree.fromstring(urdf)
    except ElementTree.ParseError as error:
        msg = f'robot description is no XML: {error}'
        raise ValueError(msg) from error
    found = {}
    for joint in root.iter('joint'):
        kind, limit = joint.get('type'), joint.find('limit')
        if kind not in ('revolute', 'continuous', 'prismatic'):
            continue
        numbers = {} if limit is None else limit.attrib
        ranged = kind != 'continuous' and limit is not None
        found[joint.get('name', '')] = JointLimits(
            # URDF: a bound that is left out is 0
            float(numbers.get('lower', 0.0)) if ranged else -math.inf,
            float(numbers.get('upper', 0.0)) if ranged else math.inf,
            float(numbers.get('velocity', math.inf)),
        )
    return found


def compare_limits(arm: ArmSpec, described: Mapping[str, JointLimits]) -> Iterator[Finding]:
    """Yield what a description says about the joints of an arm.

    Args:
        arm: The arm.
        described: Limits by joint.
    """
    missing = [joint for joint in arm.joints if joint not in described]
    yield judge(
        arm.name,
        'description',
        not missing,
        f'lacks {missing}' if missing else f'has its {len(arm.joints)} joints',
        'all joints of the robot file',
        'write the joints under the names of the robot, or start its own description',
    )
    for i, joint in enumerate(arm.joints):
        if joint not in described:
            continue
        limits = described[joint]
        lower, upper, speed = arm.lower[i], arm.upper[i], arm.max_speed[i]
        inside = limits.lower - ROUNDING <= lower and upper <= limits.upper + ROUNDING
        slow = speed <= limits.speed + ROUNDING
        yield judge(
            f'{arm.name}/{joint}',
            'limits',
            inside and slow,
            f'{lower:g} to {upper:g} rad, {speed:g} rad/s',
            f'inside of {limits.lower:g} to {limits.upper:g} rad, {limits.speed:g} rad/s',
            'lower the limits in the robot file to those of the robot description',
        )

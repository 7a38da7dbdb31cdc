# SPDX-License-Identifier: Apache-2.0
"""How joint commands leave, one file per driver of arms and grippers.

Every row of ``robot.GRIPPER_DRIVERS`` is a file here with the functions of ``driver.Driver``;
those of ``robot.DRIVERS`` can have arm joints too. A new driver is such a file and its row;
``driver:`` of an arm or a gripper in the robot YAML chooses it by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import accumulate, chain, pairwise

from cosmos_policy_ros.robot import ArmSpec, GRIPPER_DRIVERS as NAMES
from cosmos_policy_ros.ros.arms.driver import Driver, Pack, Setup, Watch
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

DRIVERS: dict[str, Driver] = {name: import_module(f'{__name__}.{name}') for name in NAMES}


def command_topics(arms: Sequence[ArmSpec]) -> list[str]:
    """Return the names of all topics on which the commands of some arms leave."""
    outputs = [output for arm in arms for output in arm.outputs]
    return [topic for output in outputs for topic in DRIVERS[output.driver].topics(output)]


def open_arms(node: Node, arms: Sequence[ArmSpec], period_s: float) -> Pack:
    """Open the commands of all arms; the function takes the (A,) positions of all of them.

    Args:
        node: Node that publishes.
        arms: Arms in action order.
        period_s: Time from one command to the next [s].

    Raises:
        ConfigError: The message package of a driver is not installed.
    """
    outputs = [output for arm in arms for output in arm.outputs]
    packs = [DRIVERS[output.driver].open_output(node, output, period_s) for output in outputs]
    ends = accumulate((len(output.joints) for output in outputs), initial=0)
    slices = [slice(*pair) for pair in pairwise(ends)]

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        ready = (pack(positions[part]) for pack, part in zip(packs, slices, strict=True))
        return list(chain.from_iterable(ready))

    return pack


def open_watches(node: Node, arms: Sequence[ArmSpec], period_s: float) -> dict[str, Watch]:
    """Begin to ask the software of all arms and grippers; return command topic -> its watch.

    Args:
        node: Node that asks.
        arms: Arms in action order.
        period_s: Time from one command to the next [s].

    Raises:
        ConfigError: The message package of a driver is not installed.
    """
    outputs = [output for arm in arms for output in arm.outputs]
    return {
        output.topic: DRIVERS[output.driver].open_watch(node, output, period_s)
        for output in outputs
    }


def open_setups(node: Node, arms: Sequence[ArmSpec]) -> dict[str, Setup]:
    """Return command topic -> the setup, of those arms and grippers whose driver has one.

    Args:
        node: Node that sets up.
        arms: Arms in action order.
    """
    outputs = [output for arm in arms for output in arm.outputs]
    modules = [(DRIVERS[output.driver], output) for output in outputs]
    return {o.topic: m.open_setup(node, o) for m, o in modules if hasattr(m, 'open_setup')}

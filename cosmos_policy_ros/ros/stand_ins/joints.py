# SPDX-License-Identifier: Apache-2.0
"""What a stand-in commands: the joints of one output, in the units of their controller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cosmos_policy_ros.robot import CommandOutput
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node


@dataclass(frozen=True)
class SimulatedJoints:
    """Joints that a controller owns.

    Attributes:
        output: Their names, and the topic on which their commands come.
        state_topic: Where a driver that measures them itself publishes that.
        command: Takes (joints,) float64 target positions [rad, a gripper in its own unit].
        measure: Returns the (joints,) float64 measured positions [the same].
        motion: Returns their (joints,) float64 velocities [rad/s, m/s] and efforts [N m, N].
    """

    output: CommandOutput
    state_topic: str
    command: Callable[[NDArray[np.float64]], None]
    measure: Callable[[], NDArray[np.float64]]
    motion: Callable[[], tuple[NDArray[np.float64], NDArray[np.float64]]]


class StandIn(Protocol):
    """A file of this folder, or one of two in it."""

    def serve(self, node: Node, joints: SimulatedJoints) -> Callable[[], None]:
        """Behave like the original towards the ROS graph for as long as the node lives.

        Returns:
            To call when the simulated arm was put elsewhere: begins again from where it is.
        """

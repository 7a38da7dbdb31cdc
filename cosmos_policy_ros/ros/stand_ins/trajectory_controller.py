# SPDX-License-Identifier: Apache-2.0
"""How a JointTrajectoryController moves its joints: what it refuses, replaces and interpolates.

Positions without velocities only, since nothing else is sent: between two of them the original
interpolates straight. A new trajectory replaces the running one at the next update.

Source: ros-controls/ros2_controllers@jazzy joint_trajectory_controller
(``joint_trajectory_controller.cpp``: ``validate_trajectory_msg``, ``update``,
``set_hold_position``; ``trajectory.cpp``: ``sample``, ``set_point_before_trajectory_msg``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.float64]
UPDATE_HZ = 100


@dataclass(frozen=True)
class Point:
    """A point of a trajectory.

    Attributes:
        time_s: When it is due after the start of the trajectory [s].
        positions: In the order of the message's names [rad or m].
    """

    time_s: float
    positions: tuple[float, ...]


def right_parameters(joints: Sequence[str]) -> dict[str, Any]:
    """Return parameters with which a controller follows a stream of single points.

    All have the names of the original; only ``interpolate_from_desired_state`` is not its default.

    Args:
        joints: Joints that it owns.
    """
    return {
        'joints': list(joints),
        'command_interfaces': ['position'],
        'state_interfaces': ['position', 'velocity'],
        'update_rate': UPDATE_HZ,
        'allow_partial_joints_goal': False,
        'interpolate_from_desired_state': True,
        'open_loop_control': False,
        'interpolation_method': 'splines',
        'cmd_timeout': 0.0,
        'speed_scaling.initial_scaling_factor': 1.0,
        'constraints.goal_time': 0.0,
        **{f'constraints.{joint}.trajectory': 0.0 for joint in joints},
        **{f'constraints.{joint}.goal': 0.0 for joint in joints},
    }


class JointTrajectoryController:
    """One controller, updated by whoever owns it.

    Attributes:
        desired: (joints,) float64 where the trajectory is at the last update.
        commanded: (joints,) float64 what was commanded at the last update.
        scaling: Speed scaling; below 1 the time of a trajectory passes more slowly.
        holding: Whether a tolerance or a timeout has ended the last trajectory.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """Be active, without a trajectory.

        Args:
            parameters: Those of ``right_parameters``, with other values.
        """
        self._parameters = parameters
        self._joints = list(parameters['joints'])
        self._from_desired = bool(
            parameters['interpolate_from_desired_state'] or parameters['open_loop_control']
        )
        self._period_s = 1.0 / parameters['update_rate']
        self._tolerance = self._constraints('trajectory')
        self.scaling = float(parameters['speed_scaling.initial_scaling_factor'])
        self.activate()

    def activate(self) -> None:
        """Forget all trajectories; the next update holds the measured pose."""
        self.holding = False
        self.desired = self.commanded = np.zeros(len(self._joints))
        self._commanded_s, self._updated_s = -np.inf, -np.inf
        self._new: tuple[float, list[Point]] | None = None  # start, points of the next trajectory
        self._times = np.zeros(0)  # of the point before the trajectory, then of its points [s]
        self._positions = np.zeros((0, len(self._joints)))
        self._sample_s = 0.0  # where in time the trajectory is [s]

    def accept(
        self, names: Sequence[str], points: Sequence[Point], start_s: float, now_s: float
    ) -> str:
        """Take a trajectory for the next update, or return why it is refused.

        Args:
            names: Joints of the message.
            points: Its points.
            start_s: Its stamp [s, ROS clock], 0 to start at once.
            now_s: Now [s, ROS clock].
        """
        partial = self._parameters['allow_partial_joints_goal']
        if not partial and len(names) != len(self._joints):
            return "joints on incoming trajectory don't match the controller joints"
        if not names:
            return 'empty joint names on incoming trajectory'
        if not points:
            return 'empty trajectory received'
        for name in names:
            if name not in self._joints:
                return f"incoming joint {name} doesn't match the controller's joints"
        if start_s and start_s + points[-1].time_s < now_s:
            return 'received trajectory with non-zero start time that ends in the past'
        times = [point.time_s for point in points]
        if any(later <= earlier for earlier, later in pairwise(times)):
            return 'time between points is not strictly increasing'
        if any(len(point.positions) != len(names) for point in points):
            return 'mismatch between joint names and positions'
        order = [names.index(joint) if joint in names else None for joint in self._joints]
        rows = [
            Point(
                point.time_s,
                tuple(
                    self.commanded[i] if at is None else point.positions[at]
                    for i, at in enumerate(order)
                ),
            )
            for point in points
        ]
        self._new = start_s, rows
        return ''

    def update(self, now_s: float, measured: Positions) -> Positions:
        """Return the (joints,) float64 positions that are commanded from now on.

        Args:
            now_s: Now [s, ROS clock].
            measured: (joints,) float64 positions.
        """
        if not len(self._times):  # just activated
            self.commanded, self._commanded_s, self._updated_s = measured.copy(), now_s, now_s
            self._hold(measured, now_s)
        first = self._new is not None
        if self._new is not None:
            self._begin(*self._new, now_s, measured)
        else:
            self._sample_s += (now_s - self._updated_s) * self.scaling
        self._updated_s = now_s
        self.desired = self._sample(self._sample_s)
        moving = first or self._sample_s < self._times[-1]
        behind = np.abs(self.desired - measured) > self._tolerance
        late_s = self._sample_s - self._times[-1]
        timeout_s = self._parameters['cmd_timeout']
        if not self.holding and ((moving and behind.any()) or 0.0 < timeout_s < late_s):
            self.holding = True
            self._hold(measured, now_s)
            return self.commanded
        self.commanded, self._commanded_s = self._sample(self._sample_s + self._period_s), now_s
        return self.commanded

    def _begin(self, start_s: float, rows: list[Point], now_s: float, measured: Positions) -> None:
        """Replace the trajectory; it starts from the last command or from the measured pose."""
        before_s, before = (
            (self._commanded_s, self.commanded) if self._from_desired else (now_s, measured)
        )
        self._new, self.holding, self._sample_s = None, False, now_s
        start_s = start_s or now_s
        self._times = np.array([before_s, *(start_s + row.time_s for row in rows)])
        self._positions = np.array([before, *(row.positions for row in rows)])

    def _hold(self, measured: Positions, now_s: float) -> None:
        """Stay at the measured pose, as after a violated tolerance."""
        self._times, self._positions = np.array([now_s]), measured[None].copy()
        self._sample_s = now_s

    def _sample(self, at_s: float) -> Positions:
        """Return where the trajectory is at a time; before and after it, at its ends."""
        reached, last = int(np.searchsorted(self._times, at_s, side='right')), len(self._times) - 1
        if self._parameters['interpolation_method'] == 'none':
            # between two points the later one is forwarded, before the first the one before
            return self._positions[0 if reached <= 1 else min(reached, last)]
        if reached in (0, last + 1):
            return self._positions[min(reached, last)]
        begin_s, end_s = self._times[reached - 1 : reached + 1]
        begin, end = self._positions[reached - 1 : reached + 1]
        return begin + (at_s - begin_s) / (end_s - begin_s) * (end - begin)

    def _constraints(self, kind: str) -> Positions:
        """Return the (joints,) float64 tolerances, infinite where there is none."""
        found = [self._parameters[f'constraints.{joint}.{kind}'] for joint in self._joints]
        return np.array([tolerance or np.inf for tolerance in found])

# SPDX-License-Identifier: Apache-2.0
"""How far a gripper is open, 0 to 1, in the units in which it is measured and commanded.

The two sides need not be proportional: the fingers of an Interbotix gripper are measured in metres
and its motor is commanded in radians, with a linkage between them. A side is then a table of
points, or the linkage itself (``FingerLinkage``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

Numbers = TypeVar('Numbers', float, NDArray[np.floating])
LINKAGE_TOLERANCE_M = 2e-4  # the ends of a gripper are written down to a tenth of a millimetre


@dataclass(frozen=True)
class FingerLinkage:
    """The crank and bar between the motor of an Interbotix gripper and one of its fingers.

    Source: Interbotix/interbotix_xs_driver@ros2 ``src/xs_driver.cpp``
    (``convert_angular_position_to_linear``); the lengths stand in the arm's motor file.

    Attributes:
        horn_radius: Length of the crank on the motor [m].
        arm_length: Length of the bar from the crank to the finger [m], longer than the crank.
    """

    horn_radius: float
    arm_length: float

    def __post_init__(self) -> None:
        """Refuse lengths that make no linkage.

        Raises:
            ConfigError: The bar is not longer than the crank, or the crank has no length.
        """
        if not 0.0 < self.horn_radius < self.arm_length:
            msg = (
                f'horn_radius {self.horn_radius} m must be above 0 and below arm_length '
                f'{self.arm_length} m'
            )
            raise ConfigError(msg)

    def finger(self, motor: Numbers) -> Numbers:
        """Return the position of the finger [m] at an angle of the motor [rad]."""
        along, across = self.horn_radius * np.sin(motor), self.horn_radius * np.cos(motor)
        return along + np.sqrt(self.arm_length**2 - across**2)

    def motor(self, finger: Numbers) -> Numbers:
        """Return the angle of the motor, -pi/2 to pi/2 [rad], at a position of the finger [m].

        A finger cannot be outside of horn radius and arm length; noise beyond counts as the end.
        """
        nearest = self.arm_length - self.horn_radius
        reach = np.clip(finger, nearest, self.arm_length + self.horn_radius)
        square = reach**2 + self.horn_radius**2 - self.arm_length**2
        return np.arcsin(np.clip(square / (2.0 * reach * self.horn_radius), -1.0, 1.0))

    def slope(self, motor: Numbers) -> Numbers:
        """Return how far the finger moves per angle of the motor [m/rad]."""
        along, across = self.horn_radius * np.sin(motor), self.horn_radius * np.cos(motor)
        return across * (1.0 + along / np.sqrt(self.arm_length**2 - across**2))


@dataclass(frozen=True)
class GripperSpec:
    """How 0 (closed) … 1 (open) maps to the robot's own gripper units, and how commands leave.

    Attributes:
        state_joint: Joint of the joint-state topic that measures the opening.
        state_closed: Its position when closed [m or rad].
        state_open: Its position when open [m or rad].
        command_closed: Controller command that closes [m or rad].
        command_open: Controller command that opens [m or rad].
        max_speed: Highest speed of the normalised opening [1/s].
        max_acceleration: Highest acceleration of the normalised opening [1/s²].
        state_between: Rows of an opening and the position of ``state_joint`` there [m or rad], in
            between closed and open; none is a straight line.
        command_between: The same for the controller command.
        linkage: The linkage that gives the measured position for a command in radians, instead
            of ``state_between``; None where there is none.
        driver: How its commands leave, a row of ``DRIVERS``; None sends them as the arm's driver
            does, together with the joints.
        command_topic: Topic, or name of the action, of a driver of its own (``interbotix``:
            namespace).
        command_joint: Joint that a driver with names commands; None is ``state_joint``.
        max_effort: Largest effort that a driver of its own asks for [N or N m], 0 leaves it to
            the controller.
        current_limit: Largest current of the motor that driver ``interbotix`` sets [counts of its
            register Current_Limit, 2.69 mA on an XM430], 0 leaves what the motor has.
    """

    state_joint: str
    state_closed: float
    state_open: float
    command_closed: float
    command_open: float
    max_speed: float
    max_acceleration: float
    state_between: tuple[tuple[float, ...], ...] = ()
    command_between: tuple[tuple[float, ...], ...] = ()
    linkage: FingerLinkage | None = None
    driver: str | None = None
    command_topic: str | None = None
    command_joint: str | None = None
    max_effort: float = 0.0
    current_limit: int = 0

    def __post_init__(self) -> None:
        """Refuse a map that cannot be turned round.

        Raises:
            ConfigError: A table does not run one way from closed to open, or the linkage does not
                meet the measured ends or turns back in between.
        """
        self._check_table('state', self._state_table())
        self._check_table('command', self._command_table())
        for limit in ('max_effort', 'current_limit'):
            if getattr(self, limit) < 0:
                msg = f'{limit} must be 0 or above, got {getattr(self, limit)}'
                raise ConfigError(msg)
        if (self.driver is None) != (self.command_topic is None):
            msg = 'a gripper has driver and command_topic, or neither and leaves with its arm'
            raise ConfigError(msg)
        if self.linkage is not None:
            self._check_linkage(self.linkage)

    @property
    def commanded_joint(self) -> str:
        """Name of the joint that a driver with names commands."""
        return self.command_joint or self.state_joint

    def opening_of_state(self, position: Numbers) -> Numbers:
        """Return the opening [0..1] of a measured position [m or rad], not clipped."""
        if self.linkage is not None:
            return self.opening_of_command(self.linkage.motor(position))
        openings, positions = self._state_table()
        return _interpolate(position, positions, openings)

    def to_state(self, opening: Numbers) -> Numbers:
        """Return the position of the measuring joint [m or rad] at an opening [0..1]."""
        if self.linkage is not None:
            return self.linkage.finger(self.to_command(opening))
        return _interpolate(opening, *self._state_table())

    def state_slope(self, opening: Numbers) -> Numbers:
        """Return how far the measuring joint moves per opening [m or rad]; may be negative."""
        if self.linkage is not None:
            turn = _slope(opening, *self._command_table())
            return turn * self.linkage.slope(self.to_command(opening))
        return _slope(opening, *self._state_table())

    def opening_of_command(self, command: Numbers) -> Numbers:
        """Return the opening [0..1] that a controller command [m or rad] asks for, not clipped."""
        openings, positions = self._command_table()
        return _interpolate(command, positions, openings)

    def to_command(self, opening: Numbers) -> Numbers:
        """Return the controller command [m or rad] of an opening [0..1]."""
        return _interpolate(opening, *self._command_table())

    def _state_table(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return _table(self.state_closed, self.state_between, self.state_open)

    def _command_table(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return _table(self.command_closed, self.command_between, self.command_open)

    def _check_table(
        self, side: str, table: tuple[NDArray[np.float64], NDArray[np.float64]]
    ) -> None:
        openings, positions = table
        steps = np.diff(positions)
        if (np.diff(openings) <= 0).any():
            msg = f'{side}_between must have openings that rise between 0 and 1, got {openings}'
            raise ConfigError(msg)
        if not ((steps > 0).all() or (steps < 0).all()):
            msg = (
                f'open and closed gripper must be different positions with all others between '
                f'them in order; {side} has {positions.tolist()}'
            )
            raise ConfigError(msg)

    def _check_linkage(self, linkage: FingerLinkage) -> None:
        if self.state_between:
            msg = 'a gripper has state_between or linkage, not both'
            raise ConfigError(msg)
        for end in ('closed', 'open'):
            motor, written = getattr(self, f'command_{end}'), getattr(self, f'state_{end}')
            if abs(motor) >= np.pi / 2:
                msg = (
                    f'command_{end} {motor} rad must be inside of +-pi/2: beyond it the linkage '
                    'moves the fingers back'
                )
                raise ConfigError(msg)
            computed = float(linkage.finger(motor))
            if abs(computed - written) > LINKAGE_TOLERANCE_M:
                msg = (
                    f'state_{end} must be {computed:.5f} m, where the linkage puts the fingers at '
                    f'command_{end} {motor} rad, got {written}; it was made for another linkage'
                )
                raise ConfigError(msg)


def _table(
    closed: float, between: tuple[tuple[float, ...], ...], opened: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return openings and positions from closed to open, each (points,) float64.

    Raises:
        ConfigError: A row is not an opening and a position.
    """
    if any(len(row) != 2 for row in between):
        msg = f'a row between closed and open must be an opening and a position, got {between}'
        raise ConfigError(msg)
    rows = np.array([(0.0, closed), *between, (1.0, opened)], dtype=np.float64)
    return rows[:, 0], rows[:, 1]


def _segment(x: Any, xs: NDArray[np.float64]) -> Any:
    """Return which stretch of a monotone table a number is on; beyond the ends, the outer one."""
    rising, at = (xs, x) if xs[0] < xs[-1] else (-xs, -x)
    return np.clip(np.searchsorted(rising, at) - 1, 0, len(xs) - 2)


def _interpolate(x: Numbers, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Numbers:
    """Return y of a table of straight stretches, which go on beyond its ends."""
    i = _segment(x, xs)
    y: Numbers = ys[i] + (x - xs[i]) * (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i])
    return y


def _slope(x: Numbers, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Numbers:
    """Return how fast y of such a table changes with x."""
    i = _segment(x, xs)
    slope: Numbers = (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i])
    return slope

# SPDX-License-Identifier: Apache-2.0
"""The motors of one Interbotix follower and what its driver does with what it is told.

A stand-in for arm and driver, to try without them what a lab meets on its first day. It keeps the
habits that matter: the last goal is held for ever; a goal outside a motor's own limits is refused
by that motor alone; a number that is none becomes 0 rad; the gripper starts in the vendor's mode,
where commands are metres; nothing that sets something says whether it was set; registers in
EEPROM take nothing under torque; a failed bus read shows every joint at -pi.

Source: Interbotix/interbotix_xs_driver@ros2 ``src/xs_driver.cpp``; Interbotix/aloha@main
``config/follower_modes_left.yaml``; interbotix_ros_manipulators@humble
``config/aloha_vx300s.yaml``; the ROBOTIS e-Manual of the X series.
Differs: motors have no shadows; a reboot takes no time; velocity, current and pwm modes can be
set, but move nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cosmos_policy_ros.gripper import FingerLinkage
from cosmos_policy_ros.robot import GRIPPER
import numpy as np
from numpy.typing import NDArray

LINKAGE = FingerLinkage(horn_radius=0.022, arm_length=0.036)  # vx300s, as the scene's gripper
JOINTS = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate')
LOWER = (-3.14158, -1.85005, -1.76278, -3.14158, -1.8675, -3.14158)  # [rad] of its URDF …
UPPER = (3.14158, 1.25664, 1.6057, 3.14158, 2.23402, 3.14158)  # … and, to a tick, of its motors
SLEEP = (0.0, -2.05, 1.7, 0.0, -2.0, 0.0)  # [rad] of aloha_vx300s, outside of its own limits
TICK = 2.0 * np.pi / 4096  # [rad] of a position register
SPEED_COUNT = 0.229 * 2.0 * np.pi / 60.0  # [rad/s] of a velocity register
MODES = {  # what the driver calls a mode -> number of Operating_Mode
    'position': 3,
    'linear_position': 3,
    'ext_position': 4,
    'velocity': 1,
    'current': 0,
    'current_based_position': 5,
    'pwm': 16,
}
HELD = {3, 4, 5}  # modes in which a motor holds a position
EEPROM = {'Operating_Mode', 'Current_Limit', 'Drive_Mode', 'Homing_Offset'}
EEPROM |= {'Min_Position_Limit', 'Max_Position_Limit'}
MA_PER_NM = 560.0  # [mA/(N m)] of an XM430: 2.3 A at 4.1 N m
CURRENT_LIMIT, GRIPPER_CURRENT_LIMIT = 1193, 200  # [2.69 mA] of an XM430, and of the motor file


@dataclass
class Motor:
    """One motor.

    Attributes:
        lowest: Lowest goal that it takes [rad].
        highest: Highest goal that it takes [rad].
        registers: Register -> value.
        mode: Mode as the driver calls it.
        profile_type: ``velocity`` or ``time``, as the driver calls bit 2 of Drive_Mode.
        goal: Where it is to be [rad].
    """

    lowest: float
    highest: float
    registers: dict[str, int]
    mode: str = 'position'
    profile_type: str = 'velocity'
    goal: float = 0.0
    _begin: float = field(default=0.0, repr=False)  # [rad] where the move to the goal began
    _begin_s: float = field(default=0.0, repr=False)
    _takes_s: float = field(default=0.0, repr=False)

    @property
    def holds(self) -> bool:
        """Whether it holds its goal."""
        return bool(self.registers['Torque_Enable']) and self.registers['Operating_Mode'] in HELD

    def aim(self, goal: float, now_s: float) -> None:
        """Take a goal [rad] if it is inside its limits, which extended modes do not have."""
        if not np.isfinite(goal):
            goal = 0.0  # what the vendor's library makes of a number that is none
        goal = round(goal / TICK) * TICK
        if self.registers['Operating_Mode'] == 3 and not self.lowest <= goal <= self.highest:
            return
        self._begin, self._begin_s, self.goal = self.target(now_s), now_s, goal
        pace = self.registers['Profile_Velocity']
        if not pace:
            self._takes_s = 0.0
        elif self.profile_type == 'time':
            self._takes_s = pace * 1e-3
        else:
            self._takes_s = abs(goal - self._begin) / (pace * SPEED_COUNT)

    def target(self, now_s: float) -> float:
        """Return where it is to be at a time, on its way to the goal [rad]."""
        if now_s >= self._begin_s + self._takes_s:
            return self.goal
        share = (now_s - self._begin_s) / self._takes_s
        return self._begin + share * (self.goal - self._begin)

    def stay(self, position: float) -> None:
        """Have the goal where it is [rad]."""
        self.goal, self._takes_s = position, 0.0


class XsArm:
    """An arm with a gripper and its driver.

    Attributes:
        joints: Names of all motors, the gripper's last.
        motors: Name -> motor.
        failed_reads: So many next joint states are those of a failed bus read.
    """

    def __init__(self) -> None:
        """Start as the vendor's driver with ALOHA's files: torque on, gripper in metres."""
        self.joints = (*JOINTS, GRIPPER)
        self.failed_reads = 0
        self.motors = {
            name: Motor(low, high, _registers(CURRENT_LIMIT))
            for name, low, high in zip(JOINTS, LOWER, UPPER, strict=True)
        }
        self.motors[GRIPPER] = Motor(-np.pi, np.pi, _registers(GRIPPER_CURRENT_LIMIT))
        self.motors[GRIPPER].mode = 'linear_position'
        self.groups = {'arm': JOINTS, 'all': self.joints}
        self._group_modes = {'arm': 'position', 'all': 'position'}
        self._positions = self._velocities = self._torques = np.zeros(len(self.joints))

    def measure(
        self,
        positions: NDArray[np.float64],
        velocities: NDArray[np.float64],
        torques: NDArray[np.float64],
    ) -> None:
        """Take where the joints are; limp motors go along.

        Args:
            positions: (joints,) of the motors [rad].
            velocities: (joints,) of them [rad/s].
            torques: (joints,) of them [N m].
        """
        self._positions, self._velocities, self._torques = positions, velocities, torques
        for name, position in zip(self.joints, self._positions, strict=True):
            if not self.motors[name].holds:
                self.motors[name].stay(float(position))

    def stay(self) -> None:
        """Have all goals where the joints are, as after the scene was put somewhere else."""
        for name, position in zip(self.joints, self._positions, strict=True):
            self.motors[name].stay(float(position))

    def targets(self, now_s: float) -> NDArray[np.float64]:
        """Return (joints,) where the motors are to be [rad]."""
        return np.array([self.motors[name].target(now_s) for name in self.joints])

    def joint_state(
        self,
    ) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return names, positions, velocities and efforts [mA] of the next joint state."""
        positions, velocities, torques = self._positions, self._velocities, self._torques
        if self.failed_reads:
            self.failed_reads -= 1
            positions = np.full_like(positions, -np.pi)
            velocities = torques = np.zeros_like(positions)
        finger = LINKAGE.finger(float(positions[-1]))
        return (
            [*self.joints, 'left_finger', 'right_finger'],
            np.array([*positions, finger, -finger]),
            np.array([*velocities, 0.0, 0.0]),
            np.array([*(torques * MA_PER_NM), 0.0, 0.0]),
        )

    # What the topics do.

    def command_group(self, name: str, command: Sequence[float], now_s: float) -> None:
        """Give goals to a group, in the unit of the mode of the group.

        Raises:
            ValueError: There is no such group, or it has another number of joints.
        """
        motors = self.find('group', name)
        if len(command) != len(motors):
            msg = f'group {name} has {len(motors)} joints, ignored {len(command)} numbers'
            raise ValueError(msg)
        for motor, number in zip(motors, command, strict=True):
            self._command(motor, self._group_modes[name], number, now_s)

    def command_single(self, name: str, command: float, now_s: float) -> None:
        """Give a goal to a joint, in the unit of its mode.

        Raises:
            ValueError: There is no such joint.
        """
        (motor,) = self.find('single', name)
        self._command(motor, motor.mode, command, now_s)

    def _command(self, motor: Motor, mode: str, number: float, now_s: float) -> None:
        if mode == 'linear_position':
            number = _radians_between_fingers(number)
        if MODES[mode] in HELD:
            motor.aim(number, now_s)

    # What the services do.

    def find(self, kind: str, name: str) -> list[Motor]:
        """Return the motors of a group or a joint.

        Raises:
            ValueError: There is none of that name.
        """
        return [self.motors[motor] for motor in self.names(kind, name)]

    def names(self, kind: str, name: str) -> tuple[str, ...]:
        """Return the names of the motors of a ``group`` or a ``single`` joint.

        Raises:
            ValueError: There is none of that name.
        """
        known = self.groups if kind == 'group' else {motor: (motor,) for motor in self.motors}
        if kind not in ('group', 'single') or name not in known:
            msg = f'there is no {kind} {name!r}'
            raise ValueError(msg)
        return known[name]

    def mode(self, kind: str, name: str) -> str:
        """Return what the driver believes to be the mode of a group or a joint."""
        self.names(kind, name)
        return self._group_modes[name] if kind == 'group' else self.motors[name].mode

    def set_modes(
        self, kind: str, name: str, mode: str, profile_type: str, velocity: int, acceleration: int
    ) -> None:
        """Let go, set the mode and, in position modes, the profile, and hold again.

        Raises:
            ValueError: There are no such motors or there is no such mode.
        """
        motors = self.find(kind, name)
        if mode not in MODES:
            msg = f'there is no mode {mode!r}'
            raise ValueError(msg)
        for motor in motors:
            self._switch(motor, on=False)
            motor.mode, motor.profile_type = mode, profile_type
            motor.registers['Operating_Mode'] = MODES[mode]
            motor.registers['Drive_Mode'] = 4 if profile_type == 'time' else 0
            motor.registers['Goal_Current'] = motor.registers['Current_Limit']
            if mode in ('position', 'linear_position', 'ext_position'):
                motor.registers['Profile_Velocity'] = velocity
                motor.registers['Profile_Acceleration'] = acceleration
            self._switch(motor, on=True)
        if kind == 'group':
            self._group_modes[name] = mode

    def switch_torque(self, kind: str, name: str, on: bool) -> None:
        """Switch torque on or off; a motor that reports an error stays limp.

        Raises:
            ValueError: There are no such motors.
        """
        for motor in self.find(kind, name):
            self._switch(motor, on)

    def reboot(self, kind: str, name: str, torque: bool, only_with_error: bool) -> None:
        """Start motors anew: errors are gone, and so is what is not in EEPROM.

        Raises:
            ValueError: There are no such motors.
        """
        for motor in self.find(kind, name):
            if only_with_error and not motor.registers['Hardware_Error_Status']:
                continue
            self._switch(motor, on=False)
            kept = {r: motor.registers[r] for r in EEPROM & set(motor.registers)}
            motor.registers = _registers(kept['Current_Limit']) | kept | {'Torque_Enable': 0}
            if torque:
                self._switch(motor, on=True)

    def read(self, kind: str, name: str, register: str) -> list[int]:
        """Return a register, a motor each; none where it does not exist.

        Raises:
            ValueError: There are no such motors or registers.
        """
        motors = self.find(kind, name)
        if any(register not in motor.registers for motor in motors):
            msg = f'there is no register {register!r}; names are case-sensitive'
            raise ValueError(msg)
        return [motor.registers[register] for motor in motors]

    def write(self, kind: str, name: str, register: str, value: int) -> None:
        """Write a register of motors that take it.

        Raises:
            ValueError: There are no such motors or registers.
        """
        self.read(kind, name, register)
        for motor in self.find(kind, name):
            if register == 'Torque_Enable':
                self._switch(motor, bool(value))
            elif register not in EEPROM or not motor.registers['Torque_Enable']:
                motor.registers[register] = value

    def fail(self, name: str, bits: int) -> None:
        """Let a motor report an error, as by overload: it lets go and takes no torque."""
        self.motors[name].registers['Hardware_Error_Status'] = bits
        self._switch(self.motors[name], on=False)

    def _switch(self, motor: Motor, on: bool) -> None:
        on = on and not motor.registers['Hardware_Error_Status']
        if on and not motor.registers['Torque_Enable']:
            name = next(name for name, other in self.motors.items() if other is motor)
            motor.stay(float(self._positions[self.joints.index(name)]))
        motor.registers['Torque_Enable'] = int(on)


def _registers(current_limit: int) -> dict[str, int]:
    """Return the registers of a motor that has just started and holds."""
    return {
        'Operating_Mode': 3,
        'Drive_Mode': 0,
        'Homing_Offset': 0,
        'Current_Limit': current_limit,
        'Goal_Current': current_limit,
        'Torque_Enable': 1,
        'Hardware_Error_Status': 0,
        'Profile_Velocity': 0,
        'Profile_Acceleration': 0,
        'Position_P_Gain': 800,
        'Position_I_Gain': 0,
        'Position_D_Gain': 0,
        'Feedforward_1st_Gain': 0,
        'Feedforward_2nd_Gain': 0,
        'Velocity_P_Gain': 100,
        'Velocity_I_Gain': 1920,
    }


def _radians_between_fingers(distance: float) -> float:
    """Return the angle at which the fingers are so far apart [rad]; NaN where they cannot be."""
    half, horn, bar = distance / 2.0, LINKAGE.horn_radius, LINKAGE.arm_length
    with np.errstate(invalid='ignore', divide='ignore'):
        cosine = np.divide(horn**2 + half**2 - bar**2, 2.0 * horn * half)
        return float(np.pi / 2.0 - np.arccos(cosine))

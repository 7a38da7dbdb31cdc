# SPDX-License-Identifier: Apache-2.0
"""The last word on motion: what a joint target may become before it reaches a motor.

Every tick moves the command towards the target as far as range, speed and acceleration of each
joint allow, and always so that it can still brake: before the end of the range, and at the target
instead of past it. A target that the joints can follow passes unchanged, without delay.
Whatever is wrong with the input ends in *hold* (brake, keep the pose, go on when it is well again)
or in *fault* (brake, keep the pose until somebody enables again).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from cosmos_policy_ros.control.tracking import JointTracker
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.status import State
from cosmos_policy_ros.types import JointCommand
import numpy as np
from numpy.typing import NDArray

Status = Literal['ok', 'limited', 'hold', 'fault']
EARLY_TICK = 0.25  # of a period: a tick this soon after the last one moves nothing


@dataclass(frozen=True)
class Limits:
    """Range, speed and acceleration limits of all joints.

    Attributes:
        names: Joint names, for messages.
        lower: (A,) float32 lowest positions [rad; gripper 0..1].
        upper: (A,) float32 highest positions [rad; gripper 0..1].
        max_speed: (A,) float32 highest speeds [rad/s; gripper 1/s].
        max_acceleration: (A,) float32 highest accelerations [rad/s²; gripper 1/s²].
        arm_joints: (A,) bool, False for grippers, which may stop short of their command on an
            object and whose measured scale may differ from the commanded one.
        rate_hz: Ticks per second [Hz].
    """

    names: tuple[str, ...]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    max_speed: NDArray[np.float32]
    max_acceleration: NDArray[np.float32]
    arm_joints: NDArray[np.bool_]
    rate_hz: float

    @classmethod
    def from_robot(cls, robot: RobotSpec) -> Limits:
        """Return the limits of a robot's joints at its control rate."""
        return cls(
            robot.joint_names,
            robot.lower,
            robot.upper,
            robot.max_speed,
            robot.max_acceleration,
            robot.arm_joints,
            robot.control_rate_hz,
        )


@dataclass(frozen=True)
class WatchdogLimits:
    """Ages of joint states and gaps to the command at which motion holds or faults.

    Attributes:
        max_joint_age_s: Older joint states mean hold [s].
        fault_joint_age_s: Older joint states mean fault [s].
        max_gap_rad: Larger gaps between command and measured arm joint mean fault [rad] …
        max_gap_s: … when they last longer than this [s]; a quick motion may lag for a moment.
        max_excess_rad: Arm joints farther outside their range cannot be enabled [rad].
    """

    max_joint_age_s: float = 0.1
    fault_joint_age_s: float = 2.0
    max_gap_rad: float = 0.5
    max_gap_s: float = 0.25
    max_excess_rad: float = 0.05


class Safety:
    """Targets in, joint commands within all limits out; starts disabled.

    Attributes:
        state: ``disabled`` (no command leaves), ``enabled`` or ``fault`` (latched).
        reason: Why the last command differs from its target; empty when it does not.
        interventions: Targets since enabling that did not pass unchanged.
        intervention_reasons: How many of them for which reason: the joint that a limit kept
            farthest from its target, as ``<joint> is limited``, or ``hold`` or ``fault``.
    """

    def __init__(self, limits: Limits, watchdog: WatchdogLimits | None = None) -> None:
        """Take the limits; nothing moves before ``enable``.

        Args:
            limits: Limits of the joints, in action order.
            watchdog: When to hold and when to fault; None takes the defaults.
        """
        self.limits = limits
        self.watchdog = watchdog or WatchdogLimits()
        self.state: State = 'disabled'
        self.reason = ''
        self.interventions = 0
        self.intervention_reasons: Counter[str] = Counter()
        self._tracker = JointTracker(
            limits.lower,
            limits.upper,
            limits.max_speed,
            limits.max_acceleration,
            1.0 / limits.rate_hz,
        )
        self._period_ns = round(1e9 / limits.rate_hz)
        self._last: JointCommand | None = None
        self._gap_ns = 0  # how long a joint has been too far from its command

    def enable(self, measured: NDArray[np.float32] | None, measured_age_s: float) -> None:
        """Allow motion, starting at rest from the measured pose; leaves a fault behind.

        Args:
            measured: (A,) float32 measured joints [rad; gripper 0..1].
            measured_age_s: Their age [s].

        Raises:
            ValueError: The joints are unknown, stale, not finite or outside their range; the state
                stays what it was.
        """
        if self.state == 'enabled':
            return
        limits = self.limits
        if measured is None or not measured_age_s <= self.watchdog.max_joint_age_s:
            limit_ms = self.watchdog.max_joint_age_s * 1e3
            msg = f'joint states are {_age(measured, measured_age_s)}, limit {limit_ms:.0f} ms; '
            msg += 'check that the arm drivers run'
            raise ValueError(msg)
        if not _is_vector(measured, len(limits.names)):
            msg = f'measured joints must be {len(limits.names)} finite numbers, got {measured}'
            raise ValueError(msg)
        excess = np.maximum(limits.lower - measured, measured - limits.upper)
        excess = np.where(limits.arm_joints, excess, 0.0)
        if excess.max() > self.watchdog.max_excess_rad:
            i = int(excess.argmax())
            msg = f'{limits.names[i]} is at {measured[i]:.3f} rad, outside its range '
            msg += f'{limits.lower[i]:.3f} to {limits.upper[i]:.3f}; move it inside by hand'
            raise ValueError(msg)
        self._tracker.start(measured)
        self._last, self._gap_ns = None, 0
        self.state, self.reason, self.interventions = 'enabled', '', 0
        self.intervention_reasons = Counter()

    @property
    def pose(self) -> NDArray[np.float32]:
        """The (A,) float32 pose commanded last, or measured at enabling [rad; gripper 0..1]."""
        return self._tracker.position.astype(np.float32)

    def disable(self) -> None:
        """Send nothing more; the arms keep the last command they got."""
        self.state, self.reason = 'disabled', ''

    def fault(self, reason: str) -> None:
        """Brake and stay there until enabled again; the first reason stays.

        Nothing happens while disabled: no command leaves then anyway.
        """
        if self.state == 'enabled':
            self.state, self.reason = 'fault', reason

    def step(
        self,
        target: NDArray[np.float32] | None,
        measured: NDArray[np.float32] | None,
        measured_age_s: float,
        now_ns: int,
        hold_reason: str = '',
    ) -> JointCommand | None:
        """Return the command of one tick, or None while disabled.

        Call it once per control period. A late tick moves no farther than one on time; one that
        follows the last within a quarter of a period repeats its command.

        Args:
            target: (A,) float32 wanted now [rad; gripper 0..1]; None holds.
            measured: (A,) float32 newest measured joints [rad; gripper 0..1], None if unknown.
            measured_age_s: Their age [s].
            now_ns: Time of this tick [ns, ROS clock].
            hold_reason: Why to hold although target and joints are well; empty not to.
        """
        if self.state == 'disabled':
            return None
        elapsed_ns = self._period_ns if self._last is None else now_ns - self._last.stamp_ns
        if self._last is not None and 0 <= elapsed_ns < EARLY_TICK * self._period_ns:
            return self._last
        self._check_fault(target, measured, measured_age_s)
        status: Status
        if self.state == 'fault':
            self._tracker.brake()
            status = 'fault'
        elif reason := hold_reason or self._find_hold_reason(target, measured, measured_age_s):
            self._tracker.brake()
            self.reason = reason
            status = 'hold'
        else:
            assert target is not None
            limited = self._tracker.follow(target, max(elapsed_ns, self._period_ns) * 1e-9)
            self.reason = '' if limited is None else f'{self.limits.names[limited]} is limited'
            status = 'ok' if limited is None else 'limited'
        if target is not None and status != 'ok':
            self.interventions += 1
            self.intervention_reasons[self.reason if status == 'limited' else status] += 1
        self._last = JointCommand(now_ns, self._tracker.position.astype(np.float32), status)
        return self._last

    def _check_fault(
        self,
        target: NDArray[np.float32] | None,
        measured: NDArray[np.float32] | None,
        measured_age_s: float,
    ) -> None:
        """Enter the fault state when something must not go on by itself."""
        n = len(self.limits.names)
        if target is not None and not _is_vector(target, n):
            self.fault(f'target must be {n} finite numbers, got {target}; check the policy')
        elif measured_age_s > self.watchdog.fault_joint_age_s:
            self.fault(f'no joint states for {measured_age_s:.1f} s; check the arm drivers')
        elif measured is not None and _is_vector(measured, n):
            gap = np.abs(self._tracker.position - measured) * self.limits.arm_joints
            i = int(gap.argmax())
            self._gap_ns = (
                self._gap_ns + self._period_ns if gap[i] > self.watchdog.max_gap_rad else 0
            )
            if self._gap_ns > self.watchdog.max_gap_s * 1e9:
                self.fault(
                    f'{self.limits.names[i]} is {gap[i]:.2f} rad from its command, limit '
                    f'{self.watchdog.max_gap_rad}; check for an obstacle or a motor without torque'
                )

    def _find_hold_reason(
        self,
        target: NDArray[np.float32] | None,
        measured: NDArray[np.float32] | None,
        measured_age_s: float,
    ) -> str:
        """Return why the arms shall hold for now, empty when they may follow the target."""
        if measured is None or not measured_age_s <= self.watchdog.max_joint_age_s:
            limit_ms = self.watchdog.max_joint_age_s * 1e3
            return f'joint states are {_age(measured, measured_age_s)}, limit {limit_ms:.0f} ms'
        if not _is_vector(measured, len(self.limits.names)):
            return f'measured joints must be {len(self.limits.names)} finite numbers'
        return 'no action chunk yet' if target is None else ''


def _is_vector(values: NDArray[np.float32], size: int) -> bool:
    """Whether there are ``size`` finite numbers."""
    return values.shape == (size,) and bool(np.isfinite(values).all())


def _age(measured: NDArray[np.float32] | None, age_s: float) -> str:
    return 'missing' if measured is None else f'{age_s * 1e3:.0f} ms old'

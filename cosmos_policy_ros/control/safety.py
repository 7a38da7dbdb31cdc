# SPDX-License-Identifier: Apache-2.0
"""The last word on motion: what a joint target may become before it reaches a motor.

Every tick moves the command towards the target as far as range, speed and acceleration of each
joint allow, and always so that it can still brake: before the end of the range, and at the target
instead of past it. A target that the joints can follow passes unchanged, without delay.
Where a scene of the robot is known, a step is only taken if the arms can still come to rest with
enough distance from each other, the table and the frame; else they brake and hold.
Whatever is wrong with the input ends in *hold* (brake, keep the pose until all has been well for a
while) or in *fault* (brake, keep the pose until somebody enables again). The pose is kept without
pressing: a command never stays farther from a measured arm joint than a small band, so an arm that
is blocked, sinks or has lost its torque does not snap back when it is free.
"""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import dataclass
import math
from typing import Literal

from cosmos_policy_ros.control.collision import Scene
from cosmos_policy_ros.control.tracking import JointTracker
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.status import State
from cosmos_policy_ros.types import ConfigError, JointCommand
import numpy as np
from numpy.typing import NDArray

Status = Literal['ok', 'limited', 'hold', 'fault']
EARLY_TICK = 0.25  # of a period: a tick this soon after the last one moves nothing
ENTER_MARGIN_RAD = 0.02  # [rad] inside its range that an arm is brought to from outside
MOST_OUTSIDE_RAD = 0.35  # [rad] farther outside, a motor has another zero than its robot file
STALL_S = 0.2  # [s] without a tick, after which the arms have come to rest by themselves
# Measured joints of an arm that do not change by a bit while its command moves were not measured.
# A servo answers within 0.06 s, the encoder of a Dynamixel counts 0.0015 rad, a driver is late.
FROZEN_S = 0.15  # [s] without a change …
FROZEN_RAD = 0.05  # [rad] … since the command has moved as far
CONFIRM_RAD = 0.01  # [rad] beyond ``release_rad`` that an arm may be from its last command
# What presses against an obstacle is let go as slowly as this where the sensor of a joint may be
# wrong; a joint that moves by itself, without torque, is followed as fast as it may move.
RELEASE_RAD_S = 1.0
EMERGENCY_STOP = 'emergency stop'
NEARER_M = 1e-6  # [m] of rounding


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
        clearance_m: Distance that arms, table and frame keep, where their scene is known [m].
    """

    names: tuple[str, ...]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    max_speed: NDArray[np.float32]
    max_acceleration: NDArray[np.float32]
    arm_joints: NDArray[np.bool_]
    rate_hz: float
    clearance_m: float = 0.0

    @classmethod
    def from_robot(cls, robot: RobotSpec) -> Limits:
        """Return the limits of a robot's joints at its control rate.

        Raises:
            ConfigError: Its actions are no positions of joints, of which alone there are limits.
        """
        if robot.actions != 'joint_targets':
            msg = (
                f'robot {robot.name} takes {robot.actions}, which no limit of a joint holds for; '
                'only a simulator moves it'
            )
            raise ConfigError(msg)
        return cls(
            robot.joint_names,
            robot.lower,
            robot.upper,
            robot.max_speed,
            robot.max_acceleration,
            robot.arm_joints,
            robot.control_rate_hz,
            robot.clearance_m,
        )


@dataclass(frozen=True)
class WatchdogLimits:
    """Ages of joint states, gaps and jumps at which motion holds, faults or is refused.

    Attributes:
        max_joint_age_s: Older joint states mean hold [s].
        fault_joint_age_s: Older joint states mean fault [s].
        max_gap_rad: What a command and the measured arm joint may differ by [rad]; scripted
            motions at 2.2 rad/s in the simulator differ by 0.16 for a moment. A larger gap means
            fault …
        max_gap_area: … once what it is larger by, times how long, adds up to this [rad s].
        release_rad: Band around a measured arm joint that the command is taken back to in hold
            and fault [rad]; more than an arm sags under its own weight.
        resume_s: How long all must have been well before a hold ends [s].
        max_jump_rad: Farthest that a new chunk may pass from the commanded pose, in any arm joint
            [rad].
        max_chunk_age_s: Chunks that were planned from an older observation are refused, also where
            the arms have stood still since [s].
        max_excess_rad: Arm joints farther outside their range cannot be enabled [rad].
    """

    max_joint_age_s: float = 0.1
    fault_joint_age_s: float = 2.0
    max_gap_rad: float = 0.15
    max_gap_area: float = 0.02
    release_rad: float = 0.05
    resume_s: float = 0.2
    max_jump_rad: float = 0.3
    max_chunk_age_s: float = 1.5
    max_excess_rad: float = 0.05


class Safety:
    """Targets in, joint commands within all limits out; starts disabled.

    Attributes:
        state: ``disabled`` (no command leaves), ``enabled`` or ``fault`` (latched).
        stopped: Whether an emergency stop is latched; nothing is enabled before ``reset``.
        interrupted: Whether the last command held for another reason than a missing target.
        reason: Why the last command differs from its target; empty when it does not.
        interventions: Targets since enabling that did not pass unchanged.
        intervention_reasons: How many of them for which reason: the joint that a limit kept
            farthest from its target, as ``<joint> is limited``, or ``hold`` or ``fault``.
    """

    def __init__(
        self,
        limits: Limits,
        watchdog: WatchdogLimits | None = None,
        scene: Scene | None = None,
    ) -> None:
        """Take the limits; nothing moves before ``enable``.

        Args:
            limits: Limits of the joints, in action order.
            watchdog: When to hold and when to fault; None takes the defaults.
            scene: What must not touch; None where nobody knows.
        """
        self.limits, self._scene = limits, scene
        self.watchdog = watchdog or WatchdogLimits()
        self.state: State = 'disabled'
        self.stopped = False
        self.interrupted = False
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
        self._arms = _arm_masks(limits.names)
        self._sent: NDArray[np.float32] | None = None  # last command, also after ``disable``
        self._last: JointCommand | None  # since ``enable``
        self._held: NDArray[np.float64] | None  # where the arms came to rest in a hold
        self._left: NDArray[np.float32] | None  # what they measured when it began
        self._seen: NDArray[np.float32] | None  # newest measured joints
        self._start()

    def enable(self, measured: NDArray[np.float32] | None, measured_age_s: float) -> None:
        """Allow motion, starting at rest; leaves a fault behind.

        Every arm starts from the last command to it where the measured pose confirms that one,
        gripper included, so that it neither sags nor lets go of an object; else from the measured
        pose.

        Args:
            measured: (A,) float32 measured joints [rad; gripper 0..1].
            measured_age_s: Their age [s].

        Raises:
            ValueError: An emergency stop is latched, or the joints are unknown, stale, not finite
                or outside their range; the state stays what it was.
        """
        if self.state == 'enabled':
            return
        if refusal := self.find_refusal(measured, measured_age_s):
            raise ValueError(refusal)
        assert measured is not None
        self._tracker.start(self._find_start(measured))
        self._start()
        self.state, self.reason, self.interventions = 'enabled', '', 0
        self.intervention_reasons = Counter()

    def find_refusal(
        self,
        measured: NDArray[np.float32] | None,
        measured_age_s: float,
        max_excess_rad: float | None = None,
    ) -> str:
        """Return why motion cannot be enabled, empty when it can; see ``enable``.

        Args:
            measured: (A,) float32 measured joints [rad; gripper 0..1].
            measured_age_s: Their age [s]; infinite where a clock was set back since.
            max_excess_rad: How far arm joints may be outside their range [rad]; None is the
                watchdog's.
        """
        limits = self.limits
        most = self.watchdog.max_excess_rad if max_excess_rad is None else max_excess_rad
        if self.stopped:
            return f'{EMERGENCY_STOP} is latched; reset it first'
        if measured is not None and measured_age_s == math.inf:
            return 'joint states are of before a clock was set back; disable, then enable'
        if measured is None or not measured_age_s <= self.watchdog.max_joint_age_s:
            limit_ms = self.watchdog.max_joint_age_s * 1e3
            return (
                f'joint states are {_age(measured, measured_age_s)}, limit {limit_ms:.0f} ms; '
                'check that the arm drivers run'
            )
        if not _is_vector(measured, len(limits.names)):
            return f'measured joints must be {len(limits.names)} finite numbers, got {measured}'
        excess = np.maximum(limits.lower - measured, measured - limits.upper)
        excess = np.where(limits.arm_joints, excess, 0.0)
        if excess.max() <= most:
            return ''
        i = int(excess.argmax())
        return (
            f'{limits.names[i]} is at {measured[i]:.3f} rad, outside its range '
            f'{limits.lower[i]:.3f} to {limits.upper[i]:.3f}; switch off the torque of the arm, '
            'move it inside by hand, then enable'
        )

    def find_entry(self, measured: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return the (A,) pose inside the ranges next to a measured one that is too far outside.

        None where every arm joint is where motion can be enabled.

        Args:
            measured: (A,) float32 measured joints [rad; gripper 0..1].
        """
        limits = self.limits
        inside = np.clip(measured, limits.lower, limits.upper)
        excess = np.abs(measured - inside) * limits.arm_joints
        if excess.max() <= self.watchdog.max_excess_rad:
            return None
        margin = np.where(excess > 0.0, np.float32(ENTER_MARGIN_RAD), np.float32(0.0))
        return np.clip(measured, limits.lower + margin, limits.upper - margin)

    @property
    def pose(self) -> NDArray[np.float32]:
        """The (A,) float32 pose commanded last, or started from [rad; gripper 0..1]."""
        return self._tracker.position.astype(np.float32)

    def disable(self) -> None:
        """Send nothing more; the arms keep the last command they got."""
        self.state, self.reason = 'disabled', EMERGENCY_STOP if self.stopped else ''

    def stop(self) -> None:
        """Latch an emergency stop, in every state, until ``reset``; brake where enabled."""
        self.stopped = True
        self.fault(EMERGENCY_STOP)
        if self.state == 'disabled':
            self.reason = EMERGENCY_STOP

    def reset(self) -> None:
        """Let go of an emergency stop; nothing moves before ``enable``."""
        self.stopped = False
        if self.state == 'disabled':
            self.reason = ''

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
        follows the last within a quarter of a period repeats its command. After ``STALL_S``
        without a tick the arms stand; a clock that went back is a fault, and so is a time without
        a tick that would be one without joint states.

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
        elapsed_s = elapsed_ns * 1e-9
        if elapsed_s < 0.0:
            self.fault(f'the clock went back by {-elapsed_s:.2f} s; see who sets it')
        stall = f'no tick for {elapsed_s:.1f} s' if elapsed_s > STALL_S else ''
        if stall and elapsed_s > self.watchdog.fault_joint_age_s:
            self.fault(f'{stall}; see what stopped this process, or who set the clock')
        if stall:
            self._tracker.start(self.pose)
        usable = measured if self._find_trouble(measured, measured_age_s) == '' else None
        self._check_fault(target, usable, measured_age_s)
        held = self._find_hold_reason(measured, measured_age_s, now_ns, stall or hold_reason)
        status: Status
        if self.state == 'fault' or held or target is None:
            if self.state == 'enabled':
                self.reason = held or 'no action chunk yet'
            self._keep(usable)
            status = 'fault' if self.state == 'fault' else 'hold'
        else:
            self._held, self._left, before = None, None, copy(self._tracker)
            limited = self._tracker.follow(target, max(elapsed_ns, self._period_ns) * 1e-9)
            held = self._find_collision(before)
            if held:
                self._tracker = before
                self._keep(usable)
                self._cause, self._well_ns, self.reason, status = held, 0, held, 'hold'
            else:
                self.reason = '' if limited is None else f'{self.limits.names[limited]} is limited'
                status = 'ok' if limited is None else 'limited'
        if target is not None and status != 'ok':
            self.interventions += 1
            self.intervention_reasons[self.reason if status == 'limited' else status] += 1
        self.interrupted = bool(held) or status == 'fault'
        self._sent = self._tracker.position.astype(np.float32)
        self._last = JointCommand(now_ns, self._sent, status)
        return self._last

    def _start(self) -> None:
        """Forget what the last ticks were like."""
        self._last, self._held, self._left, self._seen = None, None, None, None
        self._seen_ns = 0  # when the joints last seen were measured
        self._gap_rad_s = np.zeros(len(self.limits.names))  # beyond the gap that is allowed
        self._cause, self._well_ns = '', 0  # of the hold, and how long it has been gone
        # Of every arm: how long its measured joints do not answer, and whether that is too long.
        self._unchanged_s = np.zeros(len(self._arms))
        self._frozen = np.zeros(len(self._arms), dtype=bool)
        self._seen_at = self._tracker.position  # what was commanded when they last changed

    def _find_start(self, measured: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (A,) pose to start from, see ``enable``."""
        if self._sent is None:
            return measured
        start = measured.copy()
        gap = np.abs(measured - self._sent) * self.limits.arm_joints
        for arm in self._arms:
            if gap[arm].max() <= self.watchdog.release_rad + CONFIRM_RAD:
                start[arm] = self._sent[arm]
        return start

    def _keep(self, measured: NDArray[np.float32] | None) -> None:
        """Brake, then keep the pose, but follow measured arm joints that leave it.

        Args:
            measured: (A,) float32 measured joints, None where nobody knows them now.
        """
        tracker, band = self._tracker, self.watchdog.release_rad
        given = tracker.position
        if measured is not None:
            if self._left is None:
                self._left = measured
            near = np.clip(given, measured - band, measured + band)
            most = RELEASE_RAD_S * self._period_ns * 1e-9
            slow = np.clip(near, given - most, given + most)
            follow = np.where(np.abs(measured - self._left) > band, near, slow)
            given = np.where(self.limits.arm_joints, follow, given)
        if self._held is None:
            tracker.brake()
            self._held = None if tracker.speed.any() else tracker.position
        elif (given != tracker.position).any() or tracker.speed.any():
            tracker.follow(given.astype(np.float32), self._period_ns * 1e-9)
        drift = 0.0 if self._held is None else np.abs(tracker.position - self._held)
        if np.max(drift) > self.watchdog.max_gap_rad:
            i = int(np.argmax(drift))
            self.fault(
                f'{self.limits.names[i]} does not keep its pose; check for a motor without torque'
            )

    def _find_collision(self, before: JointTracker) -> str:
        """Return what would come too near if the arms braked after this step, empty for nothing.

        Two shapes that are near already, as in a pose in which the arms were parked, may move
        apart. All others keep their distance meanwhile.

        Args:
            before: Where the arms were before this step, and how fast.
        """
        if self._scene is None:
            return ''
        limit_m = self.limits.clearance_m
        near = self._scene.near(self._tracker.stopping_position, limit_m)
        was = self._scene.near(before.stopping_position, limit_m) if near else {}
        for pair, found in near.items():
            allowed_m = was[pair].distance_m if pair in was else limit_m
            if found.distance_m < allowed_m - NEARER_M:
                near_mm, limit_mm = found.distance_m * 1e3, limit_m * 1e3
                return (
                    f'{found.shapes} would come within {near_mm:.0f} mm, limit {limit_mm:.0f} mm'
                )
        return ''

    def _check_fault(
        self,
        target: NDArray[np.float32] | None,
        measured: NDArray[np.float32] | None,
        measured_age_s: float,
    ) -> None:
        """Enter the fault state when something must not go on by itself.

        Args:
            target: (A,) float32 wanted now, None holds.
            measured: (A,) float32 measured joints, None where nobody knows them now.
            measured_age_s: Age of the newest ones [s].
        """
        n = len(self.limits.names)
        if target is not None and not _is_vector(target, n):
            self.fault(f'target must be {n} finite numbers, got {target}; check the policy')
        elif measured_age_s > self.watchdog.fault_joint_age_s:
            self.fault(f'no joint states for {measured_age_s:.1f} s; check the arm drivers')
        elif measured is not None:
            gap = np.abs(self._tracker.position - measured) * self.limits.arm_joints
            beyond = gap - self.watchdog.max_gap_rad
            added = self._gap_rad_s + beyond * self._period_ns * 1e-9
            self._gap_rad_s = np.where(beyond > 0.0, added, 0.0)
            i = int(self._gap_rad_s.argmax())
            if self._gap_rad_s[i] > self.watchdog.max_gap_area:
                self.fault(
                    f'{self.limits.names[i]} is {gap[i]:.2f} rad from its command, limit '
                    f'{self.watchdog.max_gap_rad}; check for an obstacle or a motor without torque'
                )

    def _find_hold_reason(
        self, measured: NDArray[np.float32] | None, measured_age_s: float, now_ns: int, other: str
    ) -> str:
        """Return why the arms shall hold for now, empty when they may follow a target.

        Args:
            measured: (A,) float32 newest measured joints, None if unknown.
            measured_age_s: Their age [s].
            now_ns: Time of this tick [ns, ROS clock].
            other: Why to hold although joints are well; empty not to.
        """
        cause = other or self._find_trouble(measured, measured_age_s)
        if not cause and measured is not None:
            cause = self._find_frozen(measured, now_ns - round(measured_age_s * 1e9))
        self._well_ns = 0 if cause else self._well_ns + self._period_ns
        if cause or self._well_ns >= self.watchdog.resume_s * 1e9:
            self._cause = cause
        return self._cause

    def _find_frozen(self, measured: NDArray[np.float32], measured_ns: int) -> str:
        """Return whose measured joints do not change while it is commanded to move.

        Time counts by the stamps: joints that nobody has measured anew are late, not frozen.

        Args:
            measured: (A,) float32 newest measured joints.
            measured_ns: When the oldest of them was measured [ns, ROS clock].
        """
        if self._seen is None:
            self._seen, self._seen_ns = measured, measured_ns
        newer_s = max(measured_ns - self._seen_ns, 0) * 1e-9
        self._seen_ns = measured_ns
        for i, arm in enumerate(self._arms):
            if (measured[arm] != self._seen[arm]).any():
                self._unchanged_s[i], self._frozen[i] = 0.0, False
                self._seen_at = np.where(arm, self._tracker.position, self._seen_at)
        self._seen = measured
        moved = np.abs(self._tracker.position - self._seen_at) * self.limits.arm_joints
        for i, arm in enumerate(self._arms):
            if moved[arm].max() > FROZEN_RAD:
                self._unchanged_s[i] += newer_s
            self._frozen[i] |= self._unchanged_s[i] > FROZEN_S
            if self._frozen[i]:
                first = self.limits.names[int(arm.argmax())]
                return f'joint states from {first} on do not change while the arm is to move'
        return ''

    def _find_trouble(self, measured: NDArray[np.float32] | None, measured_age_s: float) -> str:
        """Return what is wrong with the measured joints, empty when nothing is."""
        if measured is None or not measured_age_s <= self.watchdog.max_joint_age_s:
            limit_ms = self.watchdog.max_joint_age_s * 1e3
            return f'joint states are {_age(measured, measured_age_s)}, limit {limit_ms:.0f} ms'
        if not _is_vector(measured, len(self.limits.names)):
            return f'measured joints must be {len(self.limits.names)} finite numbers'
        return ''


def _arm_masks(names: tuple[str, ...]) -> list[NDArray[np.bool_]]:
    """Return an (A,) bool for every arm, True for its joints, by names ``<arm>/<joint>``."""
    arms = [name.rpartition('/')[0] for name in names]
    return [np.array([arm == other for other in arms]) for arm in dict.fromkeys(arms)]


def _is_vector(values: NDArray[np.float32], size: int) -> bool:
    """Whether there are ``size`` finite numbers."""
    return values.shape == (size,) and bool(np.isfinite(values).all())


def _age(measured: NDArray[np.float32] | None, age_s: float) -> str:
    return 'missing' if measured is None else f'{age_s * 1e3:.0f} ms old'

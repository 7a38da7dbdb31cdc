# SPDX-License-Identifier: Apache-2.0
"""How asynchronous messages become samples at given times, live and from a bag alike.

Cameras, joint states and commands arrive at their own rates. A sample at time t holds, for every
stream, the newest message stamped at t or before, and only if it is not stale. The running robot
(``ros/observer.py``) and the bag reader (``data/bags/reader.py``) both go through this file, so
that a policy is shown in training exactly what it will be shown on the robot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
import math
from types import SimpleNamespace
from typing import Any, Generic, Protocol, TypeVar

from cosmos_policy_ros.image_decoder import ImageDecoder
from cosmos_policy_ros.robot import ArmSpec, CameraSpec
import numpy as np
from numpy.typing import NDArray

V = TypeVar('V')
V_co = TypeVar('V_co', covariant=True)
JUMP_MARGIN_RAD = 0.15  # measurement noise and speed overshoot; a failed bus read jumps far more
PI_TOLERANCE_RAD = 1e-3  # a joint this close to +-pi may be the zero-filled read of a bus
PI_JOINTS = 3  # so many joints at +-pi at once do not happen on a working arm


@dataclass(frozen=True)
class Stamped(Generic[V_co]):
    """A value and when it was sensed.

    Attributes:
        stamp_ns: Sensing time [ns, ROS clock].
        value: What was sensed.
    """

    stamp_ns: int
    value: V_co


class StreamBuffer(Generic[V]):
    """The messages of one stream in the order of their stamps.

    Attributes:
        name: What error messages call the stream, best its topic.
        n_late: Messages dropped because a newer one was here already.
        n_duplicate: Messages dropped because their stamp was here already.
    """

    def __init__(self, name: str, capacity: int | None = None) -> None:
        """Start empty.

        Args:
            name: What error messages call the stream, best its topic.
            capacity: Newest messages that are kept; None keeps all.
        """
        self.name = name
        self.n_late = 0
        self.n_duplicate = 0
        self._capacity = capacity
        self._stamps: list[int] = []
        self._values: list[V] = []

    def __len__(self) -> int:
        """Number of messages kept."""
        return len(self._stamps)

    @property
    def first_ns(self) -> int:
        """Stamp of the oldest message kept [ns].

        Raises:
            TimeoutError: The stream is empty.
        """
        self._expect_some()
        return self._stamps[0]

    @property
    def last_ns(self) -> int:
        """Stamp of the newest message [ns].

        Raises:
            TimeoutError: The stream is empty.
        """
        self._expect_some()
        return self._stamps[-1]

    def push(self, stamp_ns: int, value: V) -> bool:
        """Append a message; return False when it was dropped as late or duplicate.

        Args:
            stamp_ns: Sensing time [ns, ROS clock].
            value: What was sensed.
        """
        if self._stamps and stamp_ns <= self._stamps[-1]:
            if stamp_ns == self._stamps[-1]:
                self.n_duplicate += 1
            else:
                self.n_late += 1
            return False
        self._stamps.append(stamp_ns)
        self._values.append(value)
        if self._capacity is not None and len(self._stamps) > self._capacity:
            del self._stamps[0], self._values[0]
        return True

    def newest_at(self, stamp_ns: int, max_age_s: float) -> Stamped[V]:
        """Return the newest message stamped at a time or before.

        Args:
            stamp_ns: The time [ns, ROS clock].
            max_age_s: Age at that time above which the message is stale [s].

        Raises:
            TimeoutError: There is none, or it is stale.
        """
        self._expect_some()
        row = bisect_right(self._stamps, stamp_ns) - 1
        if row < 0:
            ahead_ms = (self._stamps[0] - stamp_ns) * 1e-6
            msg = f'{self.name}: the oldest message came {ahead_ms:.0f} ms after the wanted time'
            raise TimeoutError(msg)
        age_s = (stamp_ns - self._stamps[row]) * 1e-9
        if age_s > max_age_s:
            msg = f'{self.name} is {age_s * 1e3:.0f} ms old, limit {max_age_s * 1e3:.0f} ms'
            raise TimeoutError(msg)
        return Stamped(self._stamps[row], self._values[row])

    def clear(self) -> None:
        """Forget all messages, for example after a reset of the scene."""
        self._stamps.clear()
        self._values.clear()

    def _expect_some(self) -> None:
        if not self._stamps:
            msg = f'{self.name}: no message yet; check that it is published'
            raise TimeoutError(msg)


class Sampled(Protocol[V_co]):
    """A stream that can be sampled at a time."""

    def newest_at(self, stamp_ns: int, max_age_s: float) -> Stamped[V_co]:
        """As of ``StreamBuffer``."""


def sample_at(
    streams: Mapping[str, Sampled[V]], stamp_ns: int, max_age_s: float
) -> dict[str, Stamped[V]]:
    """Return name -> the newest message of every stream at one time.

    Args:
        streams: Name -> stream.
        stamp_ns: Time of the sample [ns, ROS clock].
        max_age_s: Age at that time above which a message is stale [s].

    Raises:
        TimeoutError: A stream has no message at that time, or it is stale.
    """
    return {name: stream.newest_at(stamp_ns, max_age_s) for name, stream in streams.items()}


def tick_grid(first_ns: int, last_ns: int, rate_hz: float) -> NDArray[np.int64]:
    """Return the (S,) int64 ticks between two times, both included [ns].

    Args:
        first_ns: The first tick [ns].
        last_ns: No tick is later [ns].
        rate_hz: Ticks per second [Hz].

    Raises:
        ValueError: The rate is not positive or the end lies before the start.
    """
    if not rate_hz > 0 or last_ns < first_ns:
        msg = f'no ticks from {first_ns} to {last_ns} ns at {rate_hz} Hz'
        raise ValueError(msg)
    n = int((last_ns - first_ns) * rate_hz / 1e9 + 1e-6) + 1
    return first_ns + np.round(np.arange(n) * (1e9 / rate_hz)).astype(np.int64)


def stamp_of(message: Any) -> int:
    """Return the stamp of a message [ns, ROS clock], which video has without a header."""
    stamp = message.header.stamp if hasattr(message, 'header') else message.timestamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def camera_image(
    camera: CameraSpec, message: Any, decoder: ImageDecoder | None = None
) -> NDArray[np.uint8] | None:
    """Return the (height, width, 3) uint8 RGB image in a message of one camera.

    Args:
        camera: Size and order of colours that the robot file gives, and the topic for messages.
        message: A message of ``image_decoder.IMAGE_TYPES``.
        decoder: That of the camera's topic, which video needs.

    Returns:
        The image, None for video before its first key frame.

    Raises:
        ValueError: As ``ImageDecoder.decode``, or the size is not that of the robot file.
    """
    image = (decoder or ImageDecoder()).decode(message, camera.colours)
    if image is not None and image.shape[:2] != (camera.height, camera.width):
        height, width = image.shape[:2]
        wanted = f'{camera.width}x{camera.height}'
        msg = f'{camera.topic} sends {width}x{height} images, the robot file has {wanted}'
        raise ValueError(msg)
    return image


def arm_pose(arm: ArmSpec, message: Any) -> NDArray[np.float32]:
    """Return the (size,) float32 pose of one arm in a sensor_msgs/JointState [rad; gripper 0..1].

    Joints are found by name, since drivers list more of them and in their own order, also those of
    other arms.

    Args:
        arm: Names of the joints in action order, and the scale of the gripper.
        message: JointState in the units of the driver.

    Raises:
        ValueError: A joint is missing or there twice, the lengths differ, or a number is not
            finite.
    """
    positions = joint_positions(arm, message)
    if len(positions) < arm.size:
        raise ValueError(describe_missing(arm, message))
    pose = np.array([positions[name] for name in arm.state_joints], dtype=np.float64)
    return arm.pose_of_state(pose).astype(np.float32)


def describe_missing(arm: ArmSpec, message: Any, seen: Collection[str] = ()) -> str:
    """Return which joints of an arm a sensor_msgs/JointState lacks.

    Args:
        arm: The arm.
        message: The message.
        seen: Joints that other messages have.
    """
    there = {*message.name, *seen}
    missing = [name for name in arm.state_joints if name not in there]
    return f'{arm.joint_state_topic} lacks the joints {missing}; it has {list(message.name)}'


def joint_positions(arm: ArmSpec, message: Any) -> dict[str, float]:
    """Return joint -> position of those joints of an arm that a sensor_msgs/JointState has.

    Args:
        arm: Names of the joints.
        message: JointState in the units of the driver.

    Raises:
        ValueError: A joint is there twice, the lengths differ, or a number is not finite.
    """
    names, positions, topic = message.name, message.position, arm.joint_state_topic
    if len(names) != len(positions):
        msg = f'{topic} has {len(names)} names for {len(positions)} positions'
        raise ValueError(msg)
    by_name = dict(zip(names, positions, strict=True))
    if len(by_name) < len(names):
        msg = f'{topic} has a joint twice: {list(names)}'
        raise ValueError(msg)
    mine = {name: float(by_name[name]) for name in arm.state_joints if name in by_name}
    if bad := [name for name, position in mine.items() if not math.isfinite(position)]:
        msg = f'{topic} has a NaN or infinite position for {bad}'
        raise ValueError(msg)
    return mine


@dataclass(frozen=True)
class ArmState:
    """What was measured of one arm.

    Attributes:
        pose: (size,) float32 [rad; gripper 0..1].
        joint_state: The sensor_msgs/JointState it is from, or what several of them say together.
    """

    pose: NDArray[np.float32]
    joint_state: Any


class ArmStream:
    """The measured poses of one arm, joined by joint name from all who publish them.

    Most drivers send all joints of an arm in one message. A gripper with a driver of its own sends
    its part at its own rate, and every part has an age of its own. Messages about other joints are
    those of others on the topic.

    Attributes:
        name: What error messages call the stream.
        n_jumps: Messages refused since a joint moved farther than it can.
    """

    def __init__(self, arm: ArmSpec, name: str, capacity: int | None = None) -> None:
        """Start empty.

        Args:
            arm: Joints and their limits.
            name: What error messages call the stream.
            capacity: Newest messages of every part that are kept; None keeps all.
        """
        self.name = name
        self._arm, self._capacity = arm, capacity
        self._parts: dict[tuple[str, ...], StreamBuffer[tuple[dict[str, float], Any]]] = {}
        self.n_jumps = 0
        self._refused = StreamBuffer[str](name, capacity)  # why messages cannot be true

    def __len__(self) -> int:
        """Number of messages kept of the part that has fewest; 0 while a joint is missing."""
        return 0 if self._missing() else min(len(part) for part in self._parts.values())

    @property
    def first_ns(self) -> int:
        """When every joint was measured for the first time [ns].

        Raises:
            TimeoutError: One has not been measured.
        """
        return max(min(part.first_ns for part in parts) for parts in self._by_joint())

    @property
    def last_ns(self) -> int:
        """When the joint that is oldest now was measured [ns]; raises as ``first_ns``."""
        return min(max(part.last_ns for part in parts) for parts in self._by_joint())

    @property
    def newest_ns(self) -> int:
        """When any of its joints was measured last [ns]; raises as ``first_ns``."""
        return max(max(part.last_ns for part in parts) for parts in self._by_joint())

    def push(self, stamp_ns: int, message: Any) -> str | None:
        """Append what a message says about the arm, or return why it cannot be true.

        Args:
            stamp_ns: Time of the measurement [ns, ROS clock].
            message: sensor_msgs/JointState.

        Raises:
            ValueError: As ``joint_positions``.
        """
        mine = joint_positions(self._arm, message)
        if not mine:
            return None
        whole = len(mine) == len(self._arm.state_joints)
        name = self.name if whole else f'{self.name} ({", ".join(mine)})'
        part = self._parts.setdefault(tuple(mine), StreamBuffer(name, self._capacity))
        last = part.newest_at(part.last_ns, np.inf) if len(part) else None
        pose = self._joints(mine)
        reason = _find_failed_read(self._arm, pose)
        if reason is None and last is not None:
            dt_s = max((stamp_ns - last.stamp_ns) * 1e-9, 0.0)
            reason = _find_jump(self._arm, pose, self._joints(last.value[0]), dt_s)
            self.n_jumps += reason is not None
        if reason is None and not part.push(stamp_ns, (mine, message)):
            reason = f'{self.name}: stamp is not newer than the last'
        if reason is not None:
            self._refused.push(stamp_ns, reason)
        return reason

    def newest_at(self, stamp_ns: int, max_age_s: float) -> Stamped[ArmState]:
        """Return the newest pose at a time or before, with the stamp of its oldest part.

        Args:
            stamp_ns: The time [ns, ROS clock].
            max_age_s: Age at that time above which a part is stale [s].

        Raises:
            TimeoutError: A joint has not been measured by then, or its part is stale; says so
                where newer messages came and cannot be true.
        """
        used: dict[str, tuple[int, float, Any]] = {}
        self._by_joint()
        for names, part in self._parts.items():
            if part.first_ns <= stamp_ns:
                newest = part.newest_at(stamp_ns, np.inf)
                positions, message = newest.value
                for name in names:
                    if name not in used or used[name][0] < newest.stamp_ns:
                        used[name] = newest.stamp_ns, positions[name], message
        names = self._arm.state_joints
        stale = [n for n in names if n not in used or stamp_ns - used[n][0] > max_age_s * 1e9]
        if stale:
            for part_names, part in self._parts.items():
                if set(stale) & set(part_names):
                    self._expect_fresh(part, stamp_ns, max_age_s)
        pose = self._arm.pose_of_state(np.array([used[n][1] for n in names], np.float64))
        oldest_ns = min(used[name][0] for name in names)
        return Stamped(oldest_ns, ArmState(pose.astype(np.float32), _joined(used)))

    def clear(self) -> None:
        """Forget all messages, for example after a reset of the scene."""
        self._parts.clear()
        self._refused.clear()

    def _expect_fresh(
        self, part: StreamBuffer[tuple[dict[str, float], Any]], stamp_ns: int, max_age_s: float
    ) -> None:
        """Raise with the age of a part that is stale, and with why what came since is no newer."""
        try:
            part.newest_at(stamp_ns, max_age_s)
        except TimeoutError as error:
            if not len(self._refused) or self._refused.first_ns > stamp_ns:
                raise
            refused = self._refused.newest_at(stamp_ns, np.inf)
            if refused.stamp_ns <= part.newest_at(stamp_ns, np.inf).stamp_ns:
                raise
            msg = f'{error}; what came since cannot be true: {refused.value}'
            raise TimeoutError(msg) from error

    def _joints(self, positions: dict[str, float]) -> NDArray[np.float32]:
        """Return the arm's joints, 0 for those of other parts, which never move in this one."""
        return np.array([positions.get(name, 0.0) for name in self._arm.joints], np.float32)

    def _missing(self) -> list[str]:
        there = {name for names in self._parts for name in names}
        return [name for name in self._arm.state_joints if name not in there]

    def _by_joint(self) -> list[list[StreamBuffer[tuple[dict[str, float], Any]]]]:
        """Return the parts that measure each joint.

        Raises:
            TimeoutError: A joint is in none.
        """
        if not self._parts:
            msg = f'{self.name}: no message yet; check that it is published'
            raise TimeoutError(msg)
        if missing := self._missing():
            msg = f'{self.name} lacks the joints {missing}; it has {sorted(sum(self._parts, ()))}'
            raise TimeoutError(msg)
        return [
            [part for names, part in self._parts.items() if joint in names]
            for joint in self._arm.state_joints
        ]


class JointParts:
    """Whole poses of one arm from messages that may each hold some of its joints.

    A pose is given when every joint has been measured anew since the last one, with the stamp of
    the joint that was measured first: it is never newer than any of its parts.
    """

    def __init__(self, arm: ArmSpec) -> None:
        """Start without a message."""
        self._arm = arm
        self._seen: set[str] = set()
        self._newest: dict[str, tuple[int, float]] = {}  # since the last pose

    def join(self, stamp_ns: int, message: Any) -> Stamped[NDArray[np.float32]] | None:
        """Return the (size,) pose [rad; gripper 0..1] that a message completes, None without one.

        Args:
            stamp_ns: Time of the measurement [ns, ROS clock].
            message: sensor_msgs/JointState, perhaps that of another arm on the topic.

        Raises:
            ValueError: As ``joint_positions``, or a joint has never been measured.
        """
        mine = joint_positions(self._arm, message)
        names = self._arm.state_joints
        self._seen |= mine.keys()
        self._newest |= {name: (stamp_ns, position) for name, position in mine.items()}
        if not self._seen.issuperset(names):
            raise ValueError(describe_missing(self._arm, message, self._seen))
        if len(self._newest) < len(names):
            return None
        positions = np.array([self._newest[name][1] for name in names], np.float64)
        oldest_ns = min(stamp for stamp, _ in self._newest.values())
        self._newest.clear()
        return Stamped(oldest_ns, self._arm.pose_of_state(positions).astype(np.float32))


def _joined(used: Mapping[str, tuple[int, float, Any]]) -> Any:
    """Return the message of all joints, or what several say together.

    Args:
        used: Joint -> stamp [ns], position and the sensor_msgs/JointState that has it.
    """
    messages = list({id(message): message for _, _, message in used.values()}.values())
    if len(messages) == 1:
        return messages[0]
    joined: dict[str, Any] = {'name': [*used], 'position': [p for _, p, _ in used.values()]}
    for stream in ('velocity', 'effort'):
        rows = {id(m): dict(zip(m.name, getattr(m, stream), strict=False)) for m in messages}
        numbers = [rows[id(m)].get(name) for name, (_, _, m) in used.items()]
        joined[stream] = [] if None in numbers else numbers
    return SimpleNamespace(**joined)


def implausible(
    arm: ArmSpec, pose: NDArray[np.float32], last: NDArray[np.float32] | None, dt_s: float
) -> str | None:
    """Return why a measured arm pose cannot be true, or None when it can.

    The Interbotix driver turns a failed bus read into a message with every joint at -pi, and
    nothing in the message says so.

    Args:
        arm: The arm's limits.
        pose: (size,) float32 measured pose [rad; gripper 0..1].
        last: Pose of the message accepted before, or None.
        dt_s: Time since that message [s].
    """
    reason = _find_failed_read(arm, pose)
    return reason if reason or last is None else _find_jump(arm, pose, last, dt_s)


def _find_failed_read(arm: ArmSpec, pose: NDArray[np.float32]) -> str | None:
    joints = pose[: len(arm.joints)]
    at_pi = int((np.abs(np.abs(joints) - np.pi) < PI_TOLERANCE_RAD).sum())
    if at_pi >= PI_JOINTS:
        return f'{arm.joint_state_topic}: {at_pi} joints at +-pi at once, a failed bus read'
    return None


def _find_jump(
    arm: ArmSpec, pose: NDArray[np.float32], last: NDArray[np.float32], dt_s: float
) -> str | None:
    joints = pose[: len(arm.joints)]
    reach = np.asarray(arm.max_speed) * dt_s + JUMP_MARGIN_RAD
    excess = np.abs(joints - last[: len(joints)]) - reach
    worst = int(excess.argmax())
    if excess[worst] <= 0:
        return None
    jump = float(joints[worst] - last[worst])
    name = arm.joints[worst]
    return f'{arm.joint_state_topic}: {name} jumped {jump:+.2f} rad in {dt_s * 1e3:.0f} ms'

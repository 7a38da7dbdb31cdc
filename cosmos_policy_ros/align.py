# SPDX-License-Identifier: Apache-2.0
"""How asynchronous messages become samples at given times, live and from a bag alike.

Cameras, joint states and commands arrive at their own rates. A sample at time t holds, for every
stream, the newest message stamped at t or before, and only if it is not stale. The running robot
(``ros/observer.py``) and the bag reader (``data/bags/reader.py``) both go through this file, so
that a policy is shown in training exactly what it will be shown on the robot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cosmos_policy_ros.robot import ArmSpec, CameraSpec
import numpy as np
from numpy.typing import NDArray

V = TypeVar('V')
JUMP_MARGIN_RAD = 0.15  # measurement noise and speed overshoot; a failed bus read jumps far more
PI_TOLERANCE_RAD = 1e-3  # a joint this close to +-pi may be the zero-filled read of a bus
PI_JOINTS = 3  # so many joints at +-pi at once do not happen on a working arm


@dataclass(frozen=True)
class Stamped(Generic[V]):
    """A value and when it was sensed.

    Attributes:
        stamp_ns: Sensing time [ns, ROS clock].
        value: What was sensed.
    """

    stamp_ns: int
    value: V


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


def sample_at(
    streams: Mapping[str, StreamBuffer[V]], stamp_ns: int, max_age_s: float
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
    """Return the header stamp of a message [ns, ROS clock]."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def image_array(message: Any) -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 RGB view of a sensor_msgs/Image.

    Raises:
        ValueError: The encoding is neither rgb8 nor bgr8, or the sizes disagree.
    """
    height, width, step = message.height, message.width, message.step
    if message.encoding not in ('rgb8', 'bgr8'):
        msg = f'image encoding {message.encoding!r} is not supported; publish rgb8 or bgr8'
        raise ValueError(msg)
    pixels = np.frombuffer(message.data, dtype=np.uint8)
    if pixels.size != height * step or step < 3 * width or not pixels.size:
        msg = f'image of {pixels.size} bytes is not {height} rows of {step} bytes, {width} px'
        raise ValueError(msg)
    image = pixels.reshape(height, step)[:, : 3 * width].reshape(height, width, 3)
    return image if message.encoding == 'rgb8' else image[:, :, ::-1]


def camera_image(camera: CameraSpec, message: Any) -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 RGB view of one camera's sensor_msgs/Image.

    Args:
        camera: Size that the robot file gives, and the topic for messages.
        message: Image as rgb8 or bgr8.

    Raises:
        ValueError: The encoding is neither rgb8 nor bgr8, the sizes disagree, or the size is not
            that of the robot file.
    """
    image = image_array(message)
    if image.shape[:2] != (camera.height, camera.width):
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
    names, positions, topic = message.name, message.position, arm.joint_state_topic
    if len(names) != len(positions):
        msg = f'{topic} has {len(names)} names for {len(positions)} positions'
        raise ValueError(msg)
    by_name = dict(zip(names, positions, strict=True))
    if len(by_name) < len(names):
        msg = f'{topic} has a joint twice: {list(names)}'
        raise ValueError(msg)
    wanted = arm.state_joints
    missing = [name for name in wanted if name not in by_name]
    if missing:
        msg = f'{topic} lacks the joints {missing}; it has {list(names)}'
        raise ValueError(msg)
    pose = np.array([by_name[name] for name in wanted], dtype=np.float64)
    if not np.isfinite(pose).all():
        bad = [name for name, number in zip(wanted, pose, strict=True) if not np.isfinite(number)]
        msg = f'{topic} has a NaN or infinite position for {bad}'
        raise ValueError(msg)
    return arm.pose_of_state(pose).astype(np.float32)


def push_pose(
    stream: StreamBuffer[NDArray[np.float32]],
    arm: ArmSpec,
    stamp_ns: int,
    pose: NDArray[np.float32],
) -> str | None:
    """Append a measured pose, or return why it cannot be true and was dropped.

    Args:
        stream: The arm's poses so far.
        arm: The arm's limits.
        stamp_ns: Time of the measurement [ns, ROS clock].
        pose: (size,) float32 [rad; gripper 0..1].
    """
    last = stream.newest_at(stream.last_ns, np.inf) if len(stream) else None
    dt_s = (stamp_ns - last.stamp_ns) * 1e-9 if last else 0.0
    reason = implausible(arm, pose, last.value if last else None, max(dt_s, 0.0))
    if reason is None and not stream.push(stamp_ns, pose):
        reason = f'{stream.name}: stamp is not newer than the last'
    return reason


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
    joints = pose[: len(arm.joints)]
    at_pi = int((np.abs(np.abs(joints) - np.pi) < PI_TOLERANCE_RAD).sum())
    if at_pi >= PI_JOINTS:
        return f'{arm.joint_state_topic}: {at_pi} joints at +-pi at once, a failed bus read'
    if last is not None:
        reach = np.asarray(arm.max_speed) * dt_s + JUMP_MARGIN_RAD
        excess = np.abs(joints - last[: len(joints)]) - reach
        worst = int(excess.argmax())
        if excess[worst] > 0:
            jump = float(joints[worst] - last[worst])
            name = arm.joints[worst]
            return f'{arm.joint_state_topic}: {name} jumped {jump:+.2f} rad in {dt_s * 1e3:.0f} ms'
    return None

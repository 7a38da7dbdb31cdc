# SPDX-License-Identifier: Apache-2.0
"""What one robot is: joints, limits, cameras, topics and rates, read from a YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cosmos_policy_ros.config_file import read_config_file
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

Numbers = TypeVar('Numbers', float, NDArray[np.floating])
DRIVERS = {  # how commands leave; each row is a file of ros/arms, whose docstring says more
    'forward': 'Float64MultiArray for a forward_command_controller of ros2_control',
    'trajectory': 'JointTrajectory for a joint_trajectory_controller of ros2_control',
    'interbotix': 'interbotix_xs_msgs for the xs_sdk node of an Interbotix arm',
}

CAMERA_DRIVERS = {  # each row is a file of drivers/
    'realsense': 'RealSense D405, D435 and others by serial number',
    'v4l2': 'a camera of Video4Linux by its device file, such as /dev/video0',
    'file': 'a film or a folder of images, over and over, to try without a camera',
}


@dataclass(frozen=True)
class GripperSpec:
    """How 0 (closed) … 1 (open) maps to the robot's own gripper units.

    Attributes:
        state_joint: Joint of the joint-state topic that measures the opening.
        state_closed: Its position when closed [m or rad].
        state_open: Its position when open [m or rad].
        command_closed: Controller command that closes [m or rad].
        command_open: Controller command that opens [m or rad].
        max_speed: Highest speed of the normalised opening [1/s].
        max_acceleration: Highest acceleration of the normalised opening [1/s²].
    """

    state_joint: str
    state_closed: float
    state_open: float
    command_closed: float
    command_open: float
    max_speed: float
    max_acceleration: float

    @property
    def state_span(self) -> float:
        """How far the measuring joint moves from closed to open [m or rad]; may be negative."""
        return self.state_open - self.state_closed

    def opening_of_state(self, position: Numbers) -> Numbers:
        """Return the opening [0..1] of a measured position [m or rad], not clipped."""
        return (position - self.state_closed) / self.state_span

    def to_state(self, opening: Numbers) -> Numbers:
        """Return the position of the measuring joint [m or rad] at an opening [0..1]."""
        return self.state_closed + opening * self.state_span

    def opening_of_command(self, command: Numbers) -> Numbers:
        """Return the opening [0..1] that a controller command [m or rad] asks for, not clipped."""
        return (command - self.command_closed) / (self.command_open - self.command_closed)

    def to_command(self, opening: Numbers) -> Numbers:
        """Return the controller command [m or rad] of an opening [0..1]."""
        return self.command_closed + opening * (self.command_open - self.command_closed)


@dataclass(frozen=True)
class LeaderSpec:
    """The arm a person moves to command another one.

    Attributes:
        joint_state_topic: sensor_msgs/JointState topic.
        joints: Its joints in the order of the follower's, without the gripper.
        gripper_joint: Joint that measures its gripper.
        gripper_closed: Angle of that joint when closed [rad].
        gripper_open: Angle when open [rad].
        start_below: Angle below which the gripper counts as closed before motion starts [rad].
    """

    joint_state_topic: str
    joints: tuple[str, ...]
    gripper_joint: str
    gripper_closed: float
    gripper_open: float
    start_below: float

    @property
    def start_opening(self) -> float:
        """Opening [0..1] below which the gripper counts as closed before motion starts."""
        return (self.start_below - self.gripper_closed) / (self.gripper_open - self.gripper_closed)


@dataclass(frozen=True)
class ArmSpec:
    """One arm with its gripper.

    Attributes:
        name: Namespace of the arm.
        driver: How commands leave, a row of ``DRIVERS``.
        joint_state_topic: sensor_msgs/JointState topic.
        command_topic: Controller topic (``interbotix``: the arm's namespace).
        joints: Arm joint names in action order, without the gripper.
        lower: Lowest positions [rad].
        upper: Highest positions [rad].
        max_speed: Highest speeds [rad/s].
        max_acceleration: Highest accelerations [rad/s²].
        start: Pose before an episode [rad; gripper 0..1], one more than ``joints``.
        gripper: The gripper that follows the arm joints.
        leader: The arm that commands it in teleoperation, None where there is none.
    """

    name: str
    driver: str
    joint_state_topic: str
    command_topic: str
    joints: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    max_speed: tuple[float, ...]
    max_acceleration: tuple[float, ...]
    start: tuple[float, ...]
    gripper: GripperSpec
    leader: LeaderSpec | None = None

    @property
    def state_joints(self) -> tuple[str, ...]:
        """Names of the joints on the joint-state topic, in action order with the gripper last."""
        return (*self.joints, self.gripper.state_joint)


@dataclass(frozen=True)
class CameraSpec:
    """One camera.

    Attributes:
        name: Name the checkpoint knows it by.
        topic: sensor_msgs/Image topic (rgb8 or bgr8).
        width: Image width [px].
        height: Image height [px].
        rate_hz: Nominal frame rate [Hz].
        noise: Whether no two images are equal, as those of a sensor never are. A simulator may
            draw equal ones: give false, and a frozen image is taken for a scene at rest.
        driver: What ``camera_node`` reads it with, a row of ``CAMERA_DRIVERS``; empty where
            another program publishes its topic.
        device: Which one of the driver's: serial number, device file or path.
        exposure_us: Fixed exposure [µs]; without one the camera chooses it.
    """

    name: str
    topic: str
    width: int
    height: int
    rate_hz: float
    noise: bool = True
    driver: str = ''
    device: str = ''
    exposure_us: float | None = None


@dataclass(frozen=True)
class RobotSpec:
    """One robot, as ``config/robots/<name>.yaml`` describes it.

    Attributes:
        name: Robot name.
        control_rate_hz: Rate at which joint commands are sent [Hz].
        joint_state_rate_hz: Rate of the joint-state topics [Hz].
        arms: Arms in action order.
        cameras: Cameras.
    """

    name: str
    control_rate_hz: float
    joint_state_rate_hz: float
    arms: tuple[ArmSpec, ...]
    cameras: tuple[CameraSpec, ...]

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of all A joints in action order, as ``<arm>/<joint>``, grippers included."""
        return tuple(f'{a.name}/{j}' for a in self.arms for j in (*a.joints, 'gripper'))

    @property
    def size(self) -> int:
        """Action size A."""
        return len(self.joint_names)

    @property
    def arm_joints(self) -> NDArray[np.bool_]:
        """Return (A,) bool, True for arm joints and False for grippers."""
        return np.array([g for a in self.arms for g in (*(True for _ in a.joints), False)])

    @property
    def lower(self) -> NDArray[np.float32]:
        """Return (A,) float32 lowest positions [rad; gripper 0..1]."""
        return _vector([x for a in self.arms for x in (*a.lower, 0.0)])

    @property
    def upper(self) -> NDArray[np.float32]:
        """Return (A,) float32 highest positions [rad; gripper 0..1]."""
        return _vector([x for a in self.arms for x in (*a.upper, 1.0)])

    @property
    def max_speed(self) -> NDArray[np.float32]:
        """Return (A,) float32 highest speeds [rad/s; gripper 1/s]."""
        return _vector([x for a in self.arms for x in (*a.max_speed, a.gripper.max_speed)])

    @property
    def max_acceleration(self) -> NDArray[np.float32]:
        """Return (A,) float32 highest accelerations [rad/s²; gripper 1/s²]."""
        return _vector(
            [x for a in self.arms for x in (*a.max_acceleration, a.gripper.max_acceleration)]
        )

    @property
    def start(self) -> NDArray[np.float32]:
        """Return (A,) float32 pose before an episode [rad; gripper 0..1]."""
        return _vector([x for a in self.arms for x in a.start])


def read_robot(path: Path) -> RobotSpec:
    """Return the robot that a YAML file describes.

    Raises:
        ConfigError: The file is missing, has an unknown or missing key, a value of another type,
            or values that cannot be.
    """
    hint = 'give one of config/robots/*.yaml'
    spec = read_config_file(RobotSpec, path, 'robot file', hint)
    _expect(min(spec.control_rate_hz, spec.joint_state_rate_hz) > 0, f'{path}: rates', 'above 0')
    for what, names in (
        ('arms', [arm.name for arm in spec.arms]),
        ('cameras', [camera.name for camera in spec.cameras]),
        ('image topics', [camera.topic for camera in spec.cameras]),
    ):
        _expect(len(set(names)) == len(names), f'{path}: {what} {names}', 'distinct')
    for camera in spec.cameras:
        sizes = min(camera.width, camera.height, camera.rate_hz)
        where = f'{path}: camera {camera.name}'
        _expect(sizes > 0, f'{where}: size and rate', 'above 0')
        known = {'': '', **CAMERA_DRIVERS}
        _expect(camera.driver in known, f'{where}: driver {camera.driver!r}', f'of {[*known]}')
        named = bool(camera.driver) == bool(camera.device)
        _expect(named, f'{where}: driver and device', 'given both or none')
        exposed = camera.exposure_us is None or camera.exposure_us > 0
        _expect(exposed, f'{where}: exposure_us {camera.exposure_us}', 'above 0')
    for arm in spec.arms:
        _check_arm(arm, f'{path}: arm {arm.name}')
    return spec


def _check_arm(arm: ArmSpec, where: str) -> None:
    n, gripper = len(arm.joints), arm.gripper
    for key in ('lower', 'upper', 'max_speed', 'max_acceleration'):
        got = len(getattr(arm, key))
        _expect(got == n, f'{where}: {key} has {got} numbers for {n} joints; they', 'as many')
    got = len(arm.start)
    _expect(
        got == n + 1, f'{where}: start has {got} numbers; they', f'{n + 1}, joints and gripper'
    )
    ordered = all(low < high for low, high in zip(arm.lower, arm.upper, strict=True))
    _expect(ordered, f'{where}: every lower limit', 'below its upper limit')
    slowest = min(*arm.max_speed, *arm.max_acceleration)
    slowest = min(slowest, gripper.max_speed, gripper.max_acceleration)
    _expect(slowest > 0, f'{where}: speeds and accelerations', 'above 0')
    moves = gripper.state_closed != gripper.state_open
    moves = moves and gripper.command_closed != gripper.command_open
    _expect(moves, f'{where}: open and closed gripper', 'different positions')
    if arm.leader is not None:
        got = len(arm.leader.joints)
        _expect(got == n, f'{where}: leader has {got} joints for {n} of the arm; they', 'as many')
        opens = arm.leader.gripper_closed < arm.leader.start_below < arm.leader.gripper_open
        _expect(opens, f'{where}: leader start_below', 'between gripper_closed and gripper_open')
    _expect(arm.driver in DRIVERS, f'{where}: driver {arm.driver!r}', f'one of {tuple(DRIVERS)}')


def _expect(holds: bool, what: str, wanted: str) -> None:
    if not holds:
        msg = f'{what} must be {wanted}'
        raise ConfigError(msg)


def _vector(numbers: list[float]) -> NDArray[np.float32]:
    return np.asarray(numbers, dtype=np.float32)

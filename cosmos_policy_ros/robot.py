# SPDX-License-Identifier: Apache-2.0
"""What one robot is: joints, limits, cameras, topics and rates, read from a YAML file."""

from __future__ import annotations

from dataclasses import dataclass, fields, MISSING
from pathlib import Path
from typing import Any, TypeVar

from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
import yaml

T = TypeVar('T')
DRIVERS = ('forward', 'trajectory', 'interbotix')


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


@dataclass(frozen=True)
class ArmSpec:
    """One arm with its gripper.

    Attributes:
        name: Namespace of the arm.
        driver: How commands leave: ``forward`` (Float64MultiArray), ``trajectory``
            (JointTrajectory) or ``interbotix`` (interbotix_xs_msgs).
        joint_state_topic: sensor_msgs/JointState topic.
        command_topic: Controller topic (``interbotix``: the arm's namespace).
        joints: Arm joint names in action order, without the gripper.
        lower: Lowest positions [rad].
        upper: Highest positions [rad].
        max_speed: Highest speeds [rad/s].
        max_acceleration: Highest accelerations [rad/s²].
        start: Pose before an episode [rad; gripper 0..1], one more than ``joints``.
        gripper: The gripper that follows the arm joints.
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


@dataclass(frozen=True)
class CameraSpec:
    """One camera.

    Attributes:
        name: Name the checkpoint knows it by.
        topic: sensor_msgs/Image topic (rgb8).
        width: Image width [px].
        height: Image height [px].
        rate_hz: Nominal frame rate [Hz].
    """

    name: str
    topic: str
    width: int
    height: int
    rate_hz: float


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
        """All A joint names in action order, as ``<arm>/<joint>``, grippers included."""
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
    """Read a robot YAML file.

    Raises:
        ConfigError: The file is missing, has an unknown or missing key, or sizes that disagree.
    """
    if not path.is_file():
        msg = f'no robot file {path}; give one of config/robots/*.yaml'
        raise ConfigError(msg)
    try:
        data = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        msg = f'{path} is not valid YAML: {error}'
        raise ConfigError(msg) from error
    if not isinstance(data, dict):
        msg = f'{path} must hold a mapping with the keys {_names(RobotSpec)}'
        raise ConfigError(msg)
    arms = []
    for arm in _list(data, 'arms', path):
        gripper = _build(GripperSpec, arm.get('gripper'), f'{path}: gripper')
        arms.append(_build(ArmSpec, {**arm, 'gripper': gripper}, f'{path}: arm'))
    cameras = [_build(CameraSpec, c, f'{path}: camera') for c in _list(data, 'cameras', path)]
    spec = _build(RobotSpec, {**data, 'arms': tuple(arms), 'cameras': tuple(cameras)}, str(path))
    for built in spec.arms:
        _check_arm(built, path)
    return spec


def _list(data: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    rows = data.get(key)
    if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) for r in rows):
        msg = f'{path}: {key!r} must be a list of at least one mapping'
        raise ConfigError(msg)
    return rows


def _check_arm(arm: ArmSpec, path: Path) -> None:
    n = len(arm.joints)
    for key in ('lower', 'upper', 'max_speed', 'max_acceleration'):
        if len(getattr(arm, key)) != n:
            got = len(getattr(arm, key))
            msg = f'{path}: arm {arm.name}: {key} has {got} numbers for {n} joints'
            raise ConfigError(msg)
    if len(arm.start) != n + 1:
        msg = f'{path}: arm {arm.name}: start needs {n + 1} numbers (joints and gripper)'
        raise ConfigError(msg)
    if any(low >= high for low, high in zip(arm.lower, arm.upper, strict=True)):
        msg = f'{path}: arm {arm.name}: every lower limit must be below its upper limit'
        raise ConfigError(msg)
    if min(*arm.max_speed, *arm.max_acceleration, arm.gripper.max_speed) <= 0:
        msg = f'{path}: arm {arm.name}: speeds and accelerations must be above 0'
        raise ConfigError(msg)
    if arm.driver not in DRIVERS:
        msg = f'{path}: arm {arm.name}: driver {arm.driver!r} is none of {DRIVERS}'
        raise ConfigError(msg)


def _build(cls: type[T], data: Any, where: str) -> T:
    """Build a dataclass from a mapping, refusing unknown and missing keys."""
    known = _names(cls)
    if not isinstance(data, dict):
        msg = f'{where} must be a mapping with the keys {known}'
        raise ConfigError(msg)
    unknown = sorted(set(data) - set(known))
    if unknown:
        msg = f'{where} has unknown keys {unknown}; known keys are {known}'
        raise ConfigError(msg)
    missing = sorted(
        f.name
        for f in fields(cls)  # type: ignore[arg-type]
        if f.name not in data and f.default is MISSING
    )
    if missing:
        msg = f'{where} lacks the keys {missing}'
        raise ConfigError(msg)
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


def _names(cls: Any) -> list[str]:
    return [f.name for f in fields(cls)]


def _vector(numbers: list[float]) -> NDArray[np.float32]:
    return np.asarray(numbers, dtype=np.float32)

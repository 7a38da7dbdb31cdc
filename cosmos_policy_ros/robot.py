# SPDX-License-Identifier: Apache-2.0
"""What one robot is: joints, limits, cameras, topics and rates, read from a YAML file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from cosmos_policy_ros.config_file import read_config_file
from cosmos_policy_ros.gripper import GripperSpec
from cosmos_policy_ros.image_decoder import COLOURS
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

GRIPPER = 'gripper'  # name of an arm's last number in action order, where it has a gripper
DRIVERS = {  # how commands leave; each row is a file of ros/arms, whose docstring says more
    'forward': 'Float64MultiArray for a forward_command_controller of ros2_control',
    'trajectory': 'JointTrajectory for a joint_trajectory_controller of ros2_control',
    'interbotix': 'interbotix_xs_msgs for the xs_sdk node of an Interbotix arm',
    'joint_state': 'JointState, as Piper, crisp_controllers, Isaac Sim and rosetta take it',
}
SIMULATED = 'simulated'  # driver of an arm that a simulator moves itself: nothing is sent to it
GRIPPER_DRIVERS = {  # how a gripper's own commands leave: all of the above, and actions
    **DRIVERS,
    'gripper_command': 'goals of control_msgs/action/GripperCommand',
    'parallel_gripper': 'goals of control_msgs/action/ParallelGripperCommand',
}
TRANSPORTS = ('raw', 'compressed')  # as those of image_transport
CAMERA_DRIVERS = {  # each row is a file of drivers/
    'realsense': 'RealSense D405, D435 and others by serial number',
    'v4l2': 'a camera of Video4Linux by its device file, such as /dev/video0',
    'file': 'a film or a folder of images, over and over, to try without a camera',
}


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
        driver: How it is moved where it follows its follower, a row of ``DRIVERS``; empty where
            only a hand moves it.
        command_topic: Topic of that driver, as of ``ArmSpec``.
        free_service: std_srvs/SetBool that makes it light in the hand (true), as by gravity
            compensation, or hold again (false); empty where the driver switches its torque.
    """

    joint_state_topic: str
    joints: tuple[str, ...]
    gripper_joint: str
    gripper_closed: float
    gripper_open: float
    start_below: float
    driver: str = ''
    command_topic: str = ''
    free_service: str = ''

    @property
    def start_opening(self) -> float:
        """Opening [0..1] below which the gripper counts as closed before motion starts."""
        return (self.start_below - self.gripper_closed) / (self.gripper_open - self.gripper_closed)


@dataclass(frozen=True)
class CommandOutput:
    """Joints whose commands leave together: those of an arm, its gripper, or both.

    Attributes:
        driver: How they leave, a row of ``GRIPPER_DRIVERS``.
        topic: Topic of the controller (``interbotix``: namespace; actions: name of the action).
        arm_joints: Names of the arm joints in it, in action order.
        gripper: The gripper that comes after them, None if there is none in it.
        velocities: Velocities that go with every command, one per joint; empty sends none.
        efforts: Efforts that go with every command, one per joint; empty sends none.
    """

    driver: str
    topic: str
    arm_joints: tuple[str, ...]
    gripper: GripperSpec | None
    velocities: tuple[float, ...] = ()
    efforts: tuple[float, ...] = ()

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of all its joints as its controller knows them, the gripper's last."""
        gripper = () if self.gripper is None else (self.gripper.commanded_joint,)
        return (*self.arm_joints, *gripper)

    def to_controller_units(self, positions: NDArray[np.float32]) -> list[float]:
        """Return positions in the units of the controller, as plain numbers.

        Args:
            positions: (joints,) float32 arm joints and gripper [rad; gripper 0..1].

        Returns:
            Arm joints [rad], then the gripper [m or rad].
        """
        numbers: list[float] = positions.tolist()
        if self.gripper is not None:
            numbers[-1] = self.gripper.to_command(numbers[-1])
        return numbers

    def from_controller_units(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (joints,) float64 positions [rad; gripper 0..1] of those of the controller."""
        positions = numbers.copy()
        if self.gripper is not None:
            positions[-1] = self.gripper.opening_of_command(positions[-1])
        return positions


@dataclass(frozen=True)
class ArmSpec:
    """One arm, with or without a gripper.

    Attributes:
        name: Namespace of the arm.
        driver: How commands leave, a row of ``DRIVERS``; ``simulated`` where a simulator takes the
            rows of a policy itself, see ``RobotSpec.actions``.
        joint_state_topic: sensor_msgs/JointState topic; several arms may share one.
        command_topic: Controller topic (``interbotix``: the arm's namespace).
        joints: Arm joint names in action order, without the gripper.
        lower: Lowest positions [rad].
        upper: Highest positions [rad].
        max_speed: Highest speeds [rad/s].
        max_acceleration: Highest accelerations [rad/s²].
        start: Pose before an episode [rad; gripper 0..1], one more than ``joints`` with a gripper.
        sleep: Pose to switch the arms off in, as ``start``; empty where nobody knows one. It is
            moved into the limits before an arm is sent there.
        gripper: The gripper that follows the arm joints, None where there is none.
        leader: The arm that commands it in teleoperation, None where there is none.
        command_velocities: Velocities that driver ``joint_state`` sends with every command, one
            per joint and one for a gripper that leaves with them; their meaning is the arm's.
        command_efforts: The same for efforts.
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
    sleep: tuple[float, ...] = ()
    gripper: GripperSpec | None = None
    leader: LeaderSpec | None = None
    command_velocities: tuple[float, ...] = ()
    command_efforts: tuple[float, ...] = ()

    @property
    def grippers(self) -> tuple[GripperSpec, ...]:
        """Its gripper, or nothing."""
        return () if self.gripper is None else (self.gripper,)

    @property
    def size(self) -> int:
        """How many numbers of an action are the arm's."""
        return len(self.joints) + len(self.grippers)

    @property
    def action_joints(self) -> tuple[str, ...]:
        """Names of its numbers in action order: the joints, then ``gripper`` if it has one."""
        return (*self.joints, *(GRIPPER for _ in self.grippers))

    @property
    def state_joints(self) -> tuple[str, ...]:
        """Names of the joints on the joint-state topic, in action order with the gripper last."""
        return (*self.joints, *(g.state_joint for g in self.grippers))

    @property
    def outputs(self) -> tuple[CommandOutput, ...]:
        """Where its commands leave: one way, or two where the gripper has a driver of its own."""
        gripper = self.gripper
        carried = (self.command_velocities, self.command_efforts)
        if gripper is None or gripper.driver is None or gripper.command_topic is None:
            return (
                CommandOutput(self.driver, self.command_topic, self.joints, gripper, *carried),
            )
        return (
            CommandOutput(self.driver, self.command_topic, self.joints, None, *carried),
            CommandOutput(gripper.driver, gripper.command_topic, (), gripper),
        )

    def pose_of_state(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a pose [rad; gripper 0..1] of measured positions in the units of the driver.

        Args:
            positions: (size,) float64 in the order of ``state_joints``.
        """
        pose = positions.copy()
        if self.gripper is not None:
            pose[-1] = self.gripper.opening_of_state(pose[-1])
        return pose

    def state_of_pose(self, pose: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return positions as the driver measures them of a (size,) pose [rad; gripper 0..1]."""
        positions = pose.astype(np.float64)
        if self.gripper is not None:
            positions[-1] = self.gripper.to_state(positions[-1])
        return positions

    def state_scale(self, pose: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return (size,) float64, how much a measured speed is of one in the units of actions.

        It is 1 for arm joints, and for the gripper what ``GripperSpec.state_slope`` is.

        Args:
            pose: (size,) where the arm is [rad; gripper 0..1].
        """
        scale = np.ones(self.size)
        if self.gripper is not None:
            scale[-1] = self.gripper.state_slope(np.float64(pose[-1]))
        return scale


@dataclass(frozen=True)
class CameraSpec:
    """One camera.

    Attributes:
        name: Name the checkpoint knows it by.
        topic: sensor_msgs/Image topic, in any encoding of ``image_decoder.ENCODINGS``.
        width: Image width [px].
        height: Image height [px].
        rate_hz: Nominal frame rate [Hz].
        noise: Whether no two images are equal, as those of a sensor never are. A simulator may
            draw equal ones: give false, and a frozen image is taken for a scene at rest.
        driver: What ``camera_node`` reads it with, a row of ``CAMERA_DRIVERS``; empty where
            another program publishes its topic.
        device: Which one of the driver's: serial number, device file or path.
        exposure_us: Fixed exposure [µs]; without one the camera chooses it.
        transport: How its images come: ``raw`` on the topic, or ``compressed``, as JPEG or PNG on
            ``<topic>/compressed``, or on the topic itself where its name ends in ``compressed``.
        colours: Order of the colours of the encodings 8UC3 and 8UC4, which name none: ``bgr``, as
            OpenCV has them, or ``rgb``.
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
    transport: str = 'raw'
    colours: str = 'bgr'


@dataclass(frozen=True)
class RobotSpec:
    """One robot, as ``config/robots/<name>.yaml`` describes it.

    Attributes:
        name: Robot name.
        control_rate_hz: Rate at which joint commands are sent [Hz].
        joint_state_rate_hz: Rate of the joint-state topics [Hz].
        arms: Arms in action order.
        cameras: Cameras.
        scene: MuJoCo model (MJCF or URDF) of what must not touch, next to the robot file, in
            ``config/robots`` or by its whole path; see ``control/collision.py``. Without one
            nothing keeps the arms from each other and from the table.
        clearance_m: Distance that shapes of the scene keep [m].
        actions: What the rows of a policy are: ``joint_targets``, absolute positions, which all
            that moves arms is made for; or ``displacements`` of a hand by the share of a step,
            which only a simulator of ``sim.simulator`` takes.
        proprio: Names of the measured numbers that a policy is shown, where they are others than
            those of the action.
    """

    name: str
    control_rate_hz: float
    joint_state_rate_hz: float
    arms: tuple[ArmSpec, ...]
    cameras: tuple[CameraSpec, ...]
    scene: str | None = None
    clearance_m: float = 0.005
    actions: Literal['joint_targets', 'displacements'] = 'joint_targets'
    proprio: tuple[str, ...] = ()

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of all A numbers in action order, as ``<arm>/<joint>``, grippers included."""
        return tuple(f'{a.name}/{j}' for a in self.arms for j in a.action_joints)

    @property
    def arm_slices(self) -> tuple[slice, ...]:
        """Which of the A numbers are each arm's."""
        ends = np.cumsum([0, *(arm.size for arm in self.arms)]).tolist()
        return tuple(slice(*pair) for pair in pairwise(ends))

    @property
    def joint_streams(self) -> dict[str, str]:
        """Arm -> name of its measured joints: the topic, with the arm where several share it."""
        topics = [arm.joint_state_topic for arm in self.arms]
        return {
            a.name: t if topics.count(t) == 1 else f'{t} ({a.name})'
            for a, t in zip(self.arms, topics, strict=True)
        }

    @property
    def joint_state_topics(self) -> tuple[str, ...]:
        """The joint-state topics, each once."""
        return tuple(dict.fromkeys(arm.joint_state_topic for arm in self.arms))

    @property
    def size(self) -> int:
        """Action size A."""
        return len(self.joint_names)

    @property
    def proprio_names(self) -> tuple[str, ...]:
        """Names of all P measured numbers: those of the action where the file names no others."""
        return self.proprio or self.joint_names

    @property
    def proprio_size(self) -> int:
        """Proprio size P."""
        return len(self.proprio_names)

    @property
    def arm_joints(self) -> NDArray[np.bool_]:
        """Return (A,) bool, True for arm joints and False for grippers."""
        return np.array([i < len(a.joints) for a in self.arms for i in range(a.size)])

    @property
    def lower(self) -> NDArray[np.float32]:
        """Return (A,) float32 lowest positions [rad; gripper 0..1]."""
        return _vector([x for a in self.arms for x in (*a.lower, *(0.0 for _ in a.grippers))])

    @property
    def upper(self) -> NDArray[np.float32]:
        """Return (A,) float32 highest positions [rad; gripper 0..1]."""
        return _vector([x for a in self.arms for x in (*a.upper, *(1.0 for _ in a.grippers))])

    @property
    def max_speed(self) -> NDArray[np.float32]:
        """Return (A,) float32 highest speeds [rad/s; gripper 1/s]."""
        return _vector(
            [x for a in self.arms for x in (*a.max_speed, *(g.max_speed for g in a.grippers))]
        )

    @property
    def max_acceleration(self) -> NDArray[np.float32]:
        """Return (A,) float32 highest accelerations [rad/s²; gripper 1/s²]."""
        return _vector(
            [
                x
                for a in self.arms
                for x in (*a.max_acceleration, *(g.max_acceleration for g in a.grippers))
            ]
        )

    @property
    def start(self) -> NDArray[np.float32]:
        """Return (A,) float32 pose before an episode [rad; gripper 0..1]."""
        return _vector([x for a in self.arms for x in a.start])

    @property
    def sleep(self) -> NDArray[np.float32]:
        """Return (A,) float32 pose to switch the arms off in, where every arm has one."""
        return _vector([x for a in self.arms for x in a.sleep])


def read_robot(path: Path, namespace: str = '/', simulated: bool = False) -> RobotSpec:
    """Return the robot that a YAML file describes, with the full names of its topics.

    Args:
        path: The file.
        namespace: Namespace in which relative names of the file are, such as ``/robot1``; those
            with a leading slash are in none.
        simulated: Whether it may be a robot that nothing but a simulator moves, since its actions
            are no joint targets.

    Raises:
        ConfigError: The file is missing or of such a robot, has an unknown or missing key, a value
            of another type, or values that cannot be.
    """
    hint = 'give one of config/robots/*.yaml'
    spec = _resolve_names(read_config_file(RobotSpec, path, 'robot file', hint), namespace)
    if spec.actions != 'joint_targets' and not simulated:
        msg = (
            f'{path}: {spec.name} takes {spec.actions}, no joint targets: a simulator moves it '
            f'(cosmos-policy evaluate --sim), and nothing else does; {hint}'
        )
        raise ConfigError(msg)
    _expect(min(spec.control_rate_hz, spec.joint_state_rate_hz) > 0, f'{path}: rates', 'above 0')
    outputs = [output.topic for arm in spec.arms for output in arm.outputs]
    led = [a.leader.command_topic for a in spec.arms if a.leader and a.leader.driver]
    for what, names in (
        ('arms', [arm.name for arm in spec.arms]),
        ('cameras', [camera.name for camera in spec.cameras]),
        ('image topics', [camera.topic for camera in spec.cameras]),
        ('command topics', [*outputs, *led]),
    ):
        _expect(len(set(names)) == len(names), f'{path}: {what} {names}', 'distinct')
    for topic in spec.joint_state_topics:
        sharing = [arm for arm in spec.arms if arm.joint_state_topic == topic]
        joints = [joint for arm in sharing for joint in arm.state_joints]
        _expect(len(set(joints)) == len(joints), f'{path}: joints {joints} of {topic}', 'distinct')
    for camera in spec.cameras:
        sizes = min(camera.width, camera.height, camera.rate_hz)
        where = f'{path}: camera {camera.name}'
        _expect(sizes > 0, f'{where}: size and rate', 'above 0')
        known = {'': '', **CAMERA_DRIVERS}
        _expect(camera.driver in known, f'{where}: driver {camera.driver!r}', f'of {[*known]}')
        carried = camera.transport in TRANSPORTS
        _expect(carried, f'{where}: transport {camera.transport!r}', f'one of {TRANSPORTS}')
        ordered = camera.colours in COLOURS
        _expect(ordered, f'{where}: colours {camera.colours!r}', f'one of {COLOURS}')
        named = bool(camera.driver) == bool(camera.device)
        _expect(named, f'{where}: driver and device', 'given both or none')
        exposed = camera.exposure_us is None or camera.exposure_us > 0
        _expect(exposed, f'{where}: exposure_us {camera.exposure_us}', 'above 0')
    for arm in spec.arms:
        where = f'{path}: arm {arm.name}'
        _check_arm(arm, where)
        simulated = arm.driver == SIMULATED
        _expect(
            simulated == (spec.actions == 'displacements'),
            f'{where}: driver',
            f'{SIMULATED} where actions are displacements, and nowhere else',
        )
    other = spec.proprio and spec.actions == 'joint_targets'
    _expect(not other, f'{path}: proprio', 'left out where actions are joint targets')
    if spec.scene is not None:
        places = path.parent / spec.scene, share_path('config', 'robots', spec.scene)
        found = [place for place in places if place.is_file()]
        _expect(bool(found), f'{path}: scene {spec.scene}', f'a file, {places[0]} or {places[1]}')
        spec = replace(spec, scene=str(found[0].resolve()))
    return spec


def _resolve_names(spec: RobotSpec, namespace: str) -> RobotSpec:
    """Return a robot whose topics, actions and namespaces of arms have their full names."""

    def full(name: str) -> str:
        return name if name.startswith('/') else f'{namespace.rstrip("/")}/{name}'

    def resolve(arm: ArmSpec) -> ArmSpec:
        leader, gripper = arm.leader, arm.gripper
        if leader is not None:
            leader = replace(
                leader,
                joint_state_topic=full(leader.joint_state_topic),
                command_topic=leader.command_topic and full(leader.command_topic),
                free_service=leader.free_service and full(leader.free_service),
            )
        if gripper is not None and gripper.command_topic is not None:
            gripper = replace(gripper, command_topic=full(gripper.command_topic))
        return replace(
            arm,
            joint_state_topic=full(arm.joint_state_topic),
            command_topic=full(arm.command_topic),
            leader=leader,
            gripper=gripper,
        )

    cameras = tuple(replace(camera, topic=full(camera.topic)) for camera in spec.cameras)
    return replace(spec, arms=tuple(map(resolve, spec.arms)), cameras=cameras)


def leader_robot(robot: RobotSpec) -> RobotSpec:
    """Return the leaders as a robot whose poses are in the followers' joint order and units.

    Raises:
        ConfigError: An arm has no leader.
    """
    missing = [arm.name for arm in robot.arms if arm.leader is None]
    if missing:
        msg = f'robot {robot.name}: the arms {missing} have no leader; add leader: to them'
        raise ConfigError(msg)
    return replace(robot, arms=tuple(_leader_arm(arm) for arm in robot.arms))


def following_leaders(robot: RobotSpec, max_speed: float) -> RobotSpec | None:
    """Return the leaders as a robot that follows the followers; None where none can be moved.

    It has the arm joints alone, within the followers' limits: a gripper stays free in the hand.

    Args:
        robot: Robot whose arms all have leaders.
        max_speed: Highest speed of its joints [rad/s].

    Raises:
        ConfigError: An arm has no leader, or some leaders can be moved and others cannot.
    """
    leaders = leader_robot(robot).arms
    specs = [arm.leader for arm in robot.arms if arm.leader]
    moved = [bool(spec.driver) for spec in specs]
    if not any(moved):
        return None
    if not all(moved):
        msg = f'robot {robot.name}: some leaders have a driver; give one to all or to none'
        raise ConfigError(msg)
    arms = [
        replace(
            arm,
            name=f'leader of {arm.name}',
            driver=spec.driver,
            command_topic=spec.command_topic,
            max_speed=tuple(min(speed, max_speed) for speed in arm.max_speed),
            start=arm.start[: len(arm.joints)],
            sleep=(),
            gripper=None,
            leader=None,
            command_velocities=(),
            command_efforts=(),
        )
        for arm, spec in zip(leaders, specs, strict=True)
    ]
    return replace(robot, arms=tuple(arms), cameras=(), scene=None)


def _leader_arm(arm: ArmSpec) -> ArmSpec:
    assert arm.leader is not None
    assert arm.gripper is not None  # the robot file has no leader without one
    gripper = replace(
        arm.gripper,
        state_joint=arm.leader.gripper_joint,
        state_closed=arm.leader.gripper_closed,
        state_open=arm.leader.gripper_open,
        state_between=(),
        linkage=None,
    )
    topic = arm.leader.joint_state_topic
    return replace(arm, joint_state_topic=topic, joints=arm.leader.joints, gripper=gripper)


def _check_arm(arm: ArmSpec, where: str) -> None:
    n = len(arm.joints)
    if arm.driver != SIMULATED:
        what = f'{where}: the joint {GRIPPER!r}'
        _expect(GRIPPER not in arm.joints, what, 'in gripper: instead')
    for key in ('lower', 'upper', 'max_speed', 'max_acceleration'):
        got = len(getattr(arm, key))
        _expect(got == n, f'{where}: {key} has {got} numbers for {n} joints; they', 'as many')
    parts = 'joints and gripper' if arm.gripper else 'one per joint'
    for key in ('start', 'sleep'):
        got, most = len(getattr(arm, key)), f'{arm.size}, {parts}'
        fits = got == arm.size or (key == 'sleep' and not got)
        _expect(fits, f'{where}: {key} has {got} numbers; they', most)
    ordered = all(low < high for low, high in zip(arm.lower, arm.upper, strict=True))
    _expect(ordered, f'{where}: every lower limit', 'below its upper limit')
    limits = [*arm.max_speed, *arm.max_acceleration]
    limits += [x for g in arm.grippers for x in (g.max_speed, g.max_acceleration)]
    _expect(min(limits) > 0, f'{where}: speeds and accelerations', 'above 0')
    if arm.leader is not None:
        got = len(arm.leader.joints)
        _expect(got == n, f'{where}: leader has {got} joints for {n} of the arm; they', 'as many')
        opens = arm.leader.gripper_closed < arm.leader.start_below < arm.leader.gripper_open
        _expect(opens, f'{where}: leader start_below', 'between gripper_closed and gripper_open')
        driver, topic = arm.leader.driver, arm.leader.command_topic
        there = driver in ('', *DRIVERS)
        _expect(there, f'{where}: leader driver {driver!r}', f'one of {tuple(DRIVERS)}')
        named = bool(driver) == bool(topic)
        _expect(named, f'{where}: leader driver and command_topic', 'given both or none')
        closes = arm.gripper is not None
        _expect(closes, f'{where}: leader', 'that of an arm with a gripper, which starts motion')
    drivers = (*DRIVERS, SIMULATED)
    _expect(arm.driver in drivers, f'{where}: driver {arm.driver!r}', f'one of {drivers}')
    for gripper in arm.grippers:
        known = (None, *GRIPPER_DRIVERS)
        what = f'{where}: gripper driver {gripper.driver!r}'
        _expect(gripper.driver in known, what, f'one of {tuple(GRIPPER_DRIVERS)}')
    for key in ('command_velocities', 'command_efforts'):
        got, joints = len(getattr(arm, key)), arm.outputs[0].joints
        what = f'{where}: {key} has {got} numbers for {joints}; they'
        _expect(got in (0, len(joints)), what, 'as many')
        told = not got or arm.driver == 'joint_state'
        _expect(told, f'{where}: {key}', 'of driver joint_state, others have none')


def _expect(holds: bool, what: str, wanted: str) -> None:
    if not holds:
        msg = f'{what} must be {wanted}'
        raise ConfigError(msg)


def _vector(numbers: list[float]) -> NDArray[np.float32]:
    return np.asarray(numbers, dtype=np.float32)

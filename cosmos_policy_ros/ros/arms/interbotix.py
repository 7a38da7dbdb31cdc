# SPDX-License-Identifier: Apache-2.0
"""Driver ``interbotix``: the group ``arm`` and the single joint ``gripper`` of an ``xs_sdk`` node.

The node sends on to the motors whatever it gets, in the unit of the mode that they are in, and
none of its services that set something says whether it was set. So everything that commands rely
on is set before the first one, where it is not as it should be, and read back: joints in the order
of the robot file, position mode without a profile, the gripper in radians with a limited current,
torque, and no motor with an error.

Source: Interbotix/interbotix_ros_core@humble ``xs_sdk_obj.cpp``; interbotix_xs_driver@ros2
``xs_driver.cpp``; the order of steps is that of Interbotix/aloha@main ``robot_utils.py``
(``setup_follower_bot``); registers and error bits are those of the ROBOTIS e-Manual, X series.
Differs: ALOHA reboots the gripper at every start and sets the arm's mode, which lets go of the arm
for a moment; here only what differs is set, and nothing that lets a standing arm fall. Its scripts
write the current limit under torque, when the motor does not take it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cosmos_policy_ros.robot import CommandOutput, GRIPPER
from cosmos_policy_ros.ros.arms.driver import optional_class, Pack, Watch, watch_listener
from cosmos_policy_ros.ros.endpoints import create_client, create_publisher, ros_class
from cosmos_policy_ros.ros.service_calls import Caller, Conversation
from cosmos_policy_ros.topics import (
    ARM_INTERBOTIX_GROUP,
    ARM_INTERBOTIX_SINGLE,
    INTERBOTIX_GET_REGISTER,
    INTERBOTIX_INFO,
    INTERBOTIX_REBOOT,
    INTERBOTIX_SET_MODES,
    INTERBOTIX_SET_REGISTER,
    INTERBOTIX_TORQUE,
    Service,
)
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher

SOURCE = 'Interbotix/interbotix_ros_core'
GROUP = 'arm'  # what the vendor's motor files call all joints but the gripper
WATCH_S = 1.0  # [s] between looks at modes and errors; every register is a read on the motors' bus
SETTLE_S = 0.3  # [s] an arm may twitch after its torque was switched
POSITION_MODE, CURRENT_POSITION_MODE = 3, 5  # numbers of Operating_Mode
PROFILE = ('Profile_Velocity', 'Profile_Acceleration')  # 0: every command is a step of the motor
TIME_PROFILE = 4  # bit of Drive_Mode: Profile_Velocity is how long a motion takes [ms] …
SPEED_COUNT = 0.229 * 2.0 * np.pi / 60.0  # … and without it a speed [rad/s per count]
ERRORS = {  # bit of Hardware_Error_Status -> what the motor reports
    0: 'a wrong input voltage',
    2: 'overheating',
    3: 'a defect of its encoder',
    4: 'an electrical shock or too little power',
    5: 'overload',
}


def topics(output: CommandOutput) -> tuple[str, ...]:
    """Return the topics of the arm joints and of the gripper, as far as the output has them."""
    base = f'{output.topic}/commands'
    group = (f'{base}/joint_group',) if output.arm_joints else ()
    return (*group, f'{base}/joint_single') if output.gripper else group


def open_output(node: Node, output: CommandOutput, _period_s: float) -> Pack:
    """Open both topics; ``output.topic`` is the arm's namespace.

    Raises:
        ConfigError: ``interbotix_xs_msgs`` is not installed.
    """
    group_class = optional_class('interbotix', ARM_INTERBOTIX_GROUP.type, SOURCE)
    single_class = optional_class('interbotix', ARM_INTERBOTIX_SINGLE.type, SOURCE)
    publishers: dict[str, Publisher] = {}
    for topic in topics(output):
        row = ARM_INTERBOTIX_GROUP if topic.endswith('group') else ARM_INTERBOTIX_SINGLE
        publishers[row.type] = create_publisher(node, row.at(topic))
    group = publishers.get(ARM_INTERBOTIX_GROUP.type)
    single = publishers.get(ARM_INTERBOTIX_SINGLE.type)
    n_joints = len(output.arm_joints)

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        numbers, ready = output.to_controller_units(positions), []
        if group is not None:
            joints = group_class(name=GROUP, cmd=numbers[:n_joints])
            ready.append(partial(group.publish, joints))
        if single is not None:
            gripper = single_class(name=GRIPPER, cmd=numbers[-1])
            ready.append(partial(single.publish, gripper))
        return ready

    return pack


def open_watch(node: Node, output: CommandOutput, _period_s: float) -> Watch:
    """Look whether the driver listens."""
    return watch_listener(node, topics(output)[0])


class Setup:
    """The motors of an output as its commands need them; see ``driver.Setup``."""

    def __init__(self, node: Node, output: CommandOutput) -> None:
        """Open the clients; nothing is asked or set yet."""
        self.ready, self.trouble = False, ''
        self._caller, self._output, self._name = Caller(node), output, output.topic
        self._clients = {
            service.name: create_client(node, service.at(output.topic))
            for service in (
                INTERBOTIX_INFO,
                INTERBOTIX_SET_MODES,
                INTERBOTIX_TORQUE,
                INTERBOTIX_SET_REGISTER,
                INTERBOTIX_GET_REGISTER,
            )
        }
        self._watch = Conversation()
        self._changed = False  # whether the running preparation has set anything

    async def inspect(self) -> None:
        """Check the order of the joints and the motors' errors, and set nothing.

        Raises:
            ValueError: The motors are not as they must be; says what to do.
            TimeoutError: The driver does not answer.
        """
        if self._output.arm_joints:
            await self._check_order(self._output.arm_joints)
        await self._refuse_errors()

    async def prepare(self) -> None:
        """Set what is not as commands need it and read it back.

        Raises:
            ValueError: The motors are not as they must be; says what to do.
            TimeoutError: The driver does not answer.
        """
        self._watch.stop()
        self.ready, self.trouble, self._changed = False, '', False
        arm, gripper = self._output.arm_joints, self._output.gripper
        await self.inspect()
        if arm:
            await self._set_arm_mode()
            await self._set_registers('group', GROUP, dict.fromkeys(PROFILE, 0))
        if gripper is not None:
            await self._set_gripper_mode()
            wanted = dict.fromkeys(PROFILE, 0)
            if gripper.current_limit:
                await self._set_current_limit(gripper.current_limit)
                wanted['Goal_Current'] = gripper.current_limit
            await self._set_registers('single', GRIPPER, wanted)
        for kind, name in self._parts:
            await self._switch_torque(kind, name, True)
        if self._changed:
            await self._caller.pause(SETTLE_S)
        await self._refuse_modes()
        await self._refuse_limp()
        self.ready = True
        self._watch.start(self._keep_watching(), self._on_end)

    async def slow_down(self, rad_s: float, longest_rad: float) -> None:
        """Give all motors a profile and read it back; see ``driver.Setup``.

        Raises:
            ValueError: A motor does not take it.
            TimeoutError: The driver does not answer.
        """
        for kind, name in self._parts:
            modes = await self._read(kind, name, 'Drive_Mode')
            by_time = {bool(mode & TIME_PROFILE) for mode in modes}
            if len(by_time) > 1:  # a number would be a time to some and a speed to others
                msg = f'{self._name}: motors of {name} have Drive_Mode {modes}; set one for all'
                raise ValueError(msg)
            count = longest_rad / rad_s * 1e3 if by_time == {True} else rad_s / SPEED_COUNT
            slowest = {'Profile_Velocity': max(round(count), 1)}  # 0 would be at once
            await self._set_registers(kind, name, slowest)

    async def let_go(self) -> None:
        """Switch the torque of all motors off and read it back; see ``driver.Setup``.

        Raises:
            ValueError: A motor keeps its torque.
            TimeoutError: The driver does not answer.
        """
        self._watch.stop()
        self.ready = False
        for kind, name in self._parts:
            await self._switch_torque(kind, name, False)
            if any(await self._read(kind, name, 'Torque_Enable')):
                msg = f'{self._name}: {name} keeps its torque; see the output of its driver'
                raise ValueError(msg)

    @property
    def _parts(self) -> tuple[tuple[str, str], ...]:
        """How the driver addresses what is commanded: kind and name."""
        arm = (('group', GROUP),) if self._output.arm_joints else ()
        return (*arm, ('single', GRIPPER)) if self._output.gripper else arm

    def _motors(self, name: str) -> Sequence[str]:
        """Return the names of the motors of a part."""
        return self._output.arm_joints if name == GROUP else (GRIPPER,)

    async def _check_order(self, joints: tuple[str, ...]) -> None:
        """Refuse a group with other joints: its commands are numbers without names."""
        found = tuple((await self._info('group', GROUP)).joint_names)
        if found != joints:
            msg = (
                f'{self._name}: the group {GROUP} of the driver has the joints {list(found)}, the '
                f'robot file {list(joints)}; commands have no names: list them as the driver does'
            )
            raise ValueError(msg)

    async def _refuse_errors(self) -> None:
        """Refuse motors that report an error: they take no command until they are rebooted."""
        for kind, name in self._parts:
            values = await self._read(kind, name, 'Hardware_Error_Status')
            for motor, value in zip(self._motors(name), values, strict=True):
                if value:
                    told = [text for bit, text in ERRORS.items() if value >> bit & 1]
                    msg = (
                        f'{self._name}: motor {motor} reports {" and ".join(told) or "an error"} '
                        f'(Hardware_Error_Status {value}) and holds nothing; support the arm, '
                        f'mend the cause, call {INTERBOTIX_REBOOT.at(self._name).name} for it'
                    )
                    raise ValueError(msg)

    async def _refuse_modes(self) -> None:
        """Refuse modes in which commands would mean something else."""
        for kind, name in self._parts:
            if mode := await self._find_wrong_mode(kind, name):
                msg = f'{self._name}: {name} is in mode {mode}, not in {_mode(name)[0]}'
                raise ValueError(msg)

    async def _refuse_limp(self) -> None:
        """Refuse motors without torque."""
        for kind, name in self._parts:
            torques = await self._read(kind, name, 'Torque_Enable')
            limp = [m for m, on in zip(self._motors(name), torques, strict=True) if not on]
            if limp:
                msg = f'{self._name}: {", ".join(limp)} has no torque; see who switched it off'
                raise ValueError(msg)

    async def _set_arm_mode(self) -> None:
        """Put limp arm joints into position mode; setting the mode of standing ones drops them."""
        mode = await self._find_wrong_mode('group', GROUP)
        if not mode:
            return
        if any(await self._read('group', GROUP, 'Torque_Enable')):
            msg = (
                f'{self._name}: the arm is in mode {mode}, and another mode lets go of it for a '
                f'moment; lay it down, switch its torque off ({self._name}/torque_enable), enable '
                'again'
            )
            raise ValueError(msg)
        await self._set_mode('group', GROUP)

    async def _set_gripper_mode(self) -> None:
        """Put the gripper into a mode that takes radians."""
        if await self._find_wrong_mode('single', GRIPPER):
            await self._set_mode('single', GRIPPER)
        if mode := await self._find_wrong_mode('single', GRIPPER):
            msg = f'{self._name}: the gripper stays in mode {mode}; see the output of its driver'
            raise ValueError(msg)

    async def _find_wrong_mode(self, kind: str, name: str) -> str:
        """Return the mode that a part is in if it is not what it is to be in, else empty.

        The driver's own word decides about units, and the registers tell what the motors do.
        """
        mode, number = _mode(name)
        said = (await self._info(kind, name)).mode
        found = await self._read(kind, name, 'Operating_Mode')
        if said != mode:
            return said or 'unknown'
        return '' if set(found) == {number} else f'{mode} with Operating_Mode {found}'

    async def _set_mode(self, kind: str, name: str) -> None:
        """Set the mode of a part; the driver switches its torque off and on for it."""
        await self._call(
            INTERBOTIX_SET_MODES,
            cmd_type=kind,
            name=name,
            mode=_mode(name)[0],
            profile_type='velocity',
            profile_velocity=0,
            profile_acceleration=0,
        )
        self._changed = True

    async def _set_current_limit(self, limit: int) -> None:
        """Set how strong the gripper may be; the motor takes that without torque only."""
        if await self._read('single', GRIPPER, 'Current_Limit') == [limit]:
            return
        await self._switch_torque('single', GRIPPER, False)
        await self._set_registers('single', GRIPPER, {'Current_Limit': limit})

    async def _set_registers(self, kind: str, name: str, wanted: dict[str, int]) -> None:
        """Set registers that differ, and read them back."""
        for register, value in wanted.items():
            if set(await self._read(kind, name, register)) == {value}:
                continue
            await self._call(
                INTERBOTIX_SET_REGISTER, cmd_type=kind, name=name, reg=register, value=value
            )
            self._changed = True
            found = await self._read(kind, name, register)
            if set(found) != {value}:
                msg = (
                    f'{self._name}: register {register} of {name} was set to {value} and is '
                    f'{found}; see the output of the driver'
                )
                raise ValueError(msg)

    async def _switch_torque(self, kind: str, name: str, on: bool) -> None:
        """Switch torque on or off where it is not."""
        if set(await self._read(kind, name, 'Torque_Enable')) != {int(on)}:
            await self._call(INTERBOTIX_TORQUE, cmd_type=kind, name=name, enable=on)
            self._changed = True

    async def _info(self, kind: str, name: str) -> Any:
        return await self._call(INTERBOTIX_INFO, cmd_type=kind, name=name)

    async def _read(self, kind: str, name: str, register: str) -> list[int]:
        """Return the values of a register, a motor each.

        Raises:
            ValueError: The driver could not read all of them, or does not know the register.
        """
        answer = await self._call(
            INTERBOTIX_GET_REGISTER, cmd_type=kind, name=name, reg=register, value=0
        )
        values, motors = list(answer.values), self._motors(name)
        if len(values) != len(motors):
            msg = (
                f'{self._name}: register {register} of {name} has {len(values)} values for '
                f'{len(motors)} motors; check power and cables of the arm'
            )
            raise ValueError(msg)
        return values

    async def _call(self, service: Service, **fields: Any) -> Any:
        request = ros_class(service.type).Request(**fields)
        return await self._caller.call(self._clients[service.name], request)

    async def _keep_watching(self) -> None:
        """Look again and again; what makes commands harmful ends it."""
        while True:
            await self._caller.pause(WATCH_S)
            try:
                await self._refuse_errors()
                await self._refuse_limp()
            except ValueError as error:
                self.trouble = self.trouble or str(error)
            await self._refuse_modes()

    def _on_end(self, trouble: str) -> None:
        """Let nothing be sent to a driver that is gone or began anew."""
        self.ready, self.trouble = False, trouble


def open_setup(node: Node, output: CommandOutput) -> Setup:
    """Return the setup of the motors of an output."""
    return Setup(node, output)


def _mode(name: str) -> tuple[str, int]:
    """Return the mode in which a part takes radians: the driver's word and the motors' number."""
    return (
        ('position', POSITION_MODE)
        if name == GROUP
        else ('current_based_position', CURRENT_POSITION_MODE)
    )

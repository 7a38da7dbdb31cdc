# SPDX-License-Identifier: Apache-2.0
"""The topics and services of an ``xs_sdk`` node for every arm.

Source: Interbotix/interbotix_ros_core@humble ``xs_sdk_obj.cpp``; ``xs_sdk_sim.py`` there for what
its simulated driver leaves out.
Differs: no ``commands/joint_trajectory``, which this package never sends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from cosmos_policy_ros.robot import GRIPPER
from cosmos_policy_ros.ros.arms.driver import optional_class
from cosmos_policy_ros.ros.arms.interbotix import SOURCE
from cosmos_policy_ros.ros.convert import joint_state_message
from cosmos_policy_ros.ros.endpoints import (
    create_publisher,
    create_service,
    create_subscription,
    create_timer,
)
from cosmos_policy_ros.ros.stand_ins.joints import SimulatedJoints
from cosmos_policy_ros.ros.stand_ins.xs_arm import JOINTS, LINKAGE, LOWER, SLEEP, UPPER, XsArm
from cosmos_policy_ros.topics import (
    ARM_INTERBOTIX_GROUP,
    ARM_INTERBOTIX_SINGLE,
    INTERBOTIX_GAINS,
    INTERBOTIX_GET_REGISTER,
    INTERBOTIX_INFO,
    INTERBOTIX_REBOOT,
    INTERBOTIX_SET_MODES,
    INTERBOTIX_SET_REGISTER,
    INTERBOTIX_TORQUE,
    JOINT_STATES,
    STREAM,
)
import numpy as np
from rclpy.node import Node

STATE_HZ = 100.0  # [Hz]
GAINS = {  # field of MotorGains -> register
    'kp_pos': 'Position_P_Gain',
    'ki_pos': 'Position_I_Gain',
    'kd_pos': 'Position_D_Gain',
    'k1': 'Feedforward_1st_Gain',
    'k2': 'Feedforward_2nd_Gain',
    'kp_vel': 'Velocity_P_Gain',
    'ki_vel': 'Velocity_I_Gain',
}


def serve(node: Node, joints: SimulatedJoints) -> Callable[[], None]:
    """Behave like the driver of an ALOHA follower with the vendor's files.

    Raises:
        ConfigError: ``interbotix_xs_msgs`` is not installed.
    """
    driver = XsSdk(node, joints)
    create_timer(node, 1.0 / STATE_HZ, driver.publish, alone=True)
    return driver.reset


class XsSdk:
    """One arm's node."""

    def __init__(
        self,
        node: Node,
        joints: SimulatedJoints,
        motors: XsArm | None = None,
        with_motion: bool = True,
    ) -> None:
        """Open topics and services in the namespace that the robot file commands.

        Args:
            node: Node that has them.
            joints: The arm with its gripper.
            motors: Its motors and driver, by default as they start.
            with_motion: Whether joint states have velocities and efforts; those of the vendor's
                simulated driver have none.

        Raises:
            ConfigError: ``interbotix_xs_msgs`` is not installed.
        """
        optional_class('interbotix', ARM_INTERBOTIX_GROUP.type, SOURCE)
        self.motors = XsArm() if motors is None else motors
        self._node, self._joints, self._with_motion = node, joints, with_motion
        self._name = name = joints.output.topic
        states = JOINT_STATES.at(joints.state_topic)
        self._states = create_publisher(node, replace(states, qos=STREAM))
        group = ARM_INTERBOTIX_GROUP.at(f'{name}/commands/joint_group')
        single = ARM_INTERBOTIX_SINGLE.at(f'{name}/commands/joint_single')
        create_subscription(node, group, self._tolerant(self._on_group), STREAM)
        create_subscription(node, single, self._tolerant(self._on_single), STREAM)
        for service, callback in (
            (INTERBOTIX_INFO, self._on_info),
            (INTERBOTIX_SET_MODES, self._on_modes),
            (INTERBOTIX_TORQUE, self._on_torque),
            (INTERBOTIX_REBOOT, self._on_reboot),
            (INTERBOTIX_GAINS, self._on_gains),
            (INTERBOTIX_SET_REGISTER, self._on_write),
            (INTERBOTIX_GET_REGISTER, self._on_read),
        ):
            create_service(node, service.at(name), partial(self._serve, callback))
        self.reset()

    def _now_s(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9

    def measure(self) -> None:
        """Read where the joints are."""
        positions, (velocities, efforts) = self._joints.measure(), self._joints.motion()
        positions[-1] = LINKAGE.motor(float(positions[-1]))
        slope = LINKAGE.slope(float(positions[-1])) + 1e-3  # [m/rad], not 0 at its end
        velocities[-1], efforts[-1] = velocities[-1] / slope, efforts[-1] * slope
        self.motors.measure(positions, velocities, efforts)

    def _drive(self) -> None:
        self._joints.command(self.motors.targets(self._now_s()))

    def publish(self) -> None:
        """Drive the joints on, read them and publish what was read, stamped after the read."""
        self.measure()
        self._drive()
        names, positions, *motion = self.motors.joint_state()
        stamp_ns = self._node.get_clock().now().nanoseconds
        motion = motion if self._with_motion else ()
        self._states.publish(joint_state_message(names, positions, stamp_ns, *motion))

    def reset(self) -> None:
        """Hold the arm where it is."""
        self.measure()
        self.motors.stay()

    def _tolerant(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a callback that logs what the driver does not take."""

        def on_message(message: Any) -> None:
            try:
                callback(message)
            except ValueError as error:
                self._node.get_logger().error(f'{self._name}: {error}')

        return on_message

    def _serve(self, callback: Callable[[Any, Any], None], request: Any, response: Any) -> Any:
        """Answer whatever happens; an error is in the log only."""
        try:
            callback(request, response)
        except ValueError as error:
            self._node.get_logger().error(f'{self._name}: {error}')
        return response

    def _on_group(self, message: Any) -> None:
        self.motors.command_group(message.name, message.cmd, self._now_s())
        self._drive()

    def _on_single(self, message: Any) -> None:
        self.motors.command_single(message.name, message.cmd, self._now_s())
        self._drive()

    def _on_info(self, request: Any, response: Any) -> None:
        kind, name = request.cmd_type, request.name
        names = list(self.motors.names(kind, name))
        response.mode = self.motors.mode(kind, name)
        response.profile_type = self.motors.find(kind, name)[0].profile_type
        # the driver tells of the gripper under the name of a finger
        response.joint_names = [n if n != GRIPPER else 'left_finger' for n in names]
        response.joint_ids = [self.motors.joints.index(n) + 1 for n in names]
        response.joint_state_indices = [self.motors.joints.index(n) for n in names]
        response.num_joints = len(names)
        limits = {GRIPPER: (0.021, 0.057, 1.0, 0.0)}  # of the fingers in the URDF [m]
        for joint, low, high, pose in zip(JOINTS, LOWER, UPPER, SLEEP, strict=True):
            limits[joint] = (low, high, np.pi, pose)
        response.joint_lower_limits = [limits[n][0] for n in names]
        response.joint_upper_limits = [limits[n][1] for n in names]
        response.joint_velocity_limits = [limits[n][2] for n in names]
        response.joint_sleep_positions = [limits[n][3] for n in names]
        response.name = list(self.motors.groups) if name == 'all' else [name]

    def _on_modes(self, request: Any, _response: Any) -> None:
        self.measure()
        self.motors.set_modes(
            request.cmd_type,
            request.name,
            request.mode,
            request.profile_type,
            request.profile_velocity,
            request.profile_acceleration,
        )

    def _on_torque(self, request: Any, _response: Any) -> None:
        self.measure()
        self.motors.switch_torque(request.cmd_type, request.name, request.enable)

    def _on_reboot(self, request: Any, _response: Any) -> None:
        self.measure()
        self.motors.reboot(request.cmd_type, request.name, request.enable, request.smart_reboot)

    def _on_gains(self, request: Any, _response: Any) -> None:
        for gain, register in GAINS.items():
            value = getattr(request, gain)
            self.motors.write(request.cmd_type, request.name, register, value)

    def _on_write(self, request: Any, _response: Any) -> None:
        self.motors.write(request.cmd_type, request.name, request.reg, request.value)

    def _on_read(self, request: Any, response: Any) -> None:
        response.values = self.motors.read(request.cmd_type, request.name, request.reg)

# SPDX-License-Identifier: Apache-2.0
"""Driver ``trajectory``: one ``JointTrajectory`` per command with one point, due a period later.

The controller must own the joints of the output. It must also interpolate from its last command
(``interpolate_from_desired_state``, in Humble ``open_loop_control``): by default each point starts
at the measured pose, which pulls a lagging arm back with every message. It is asked for both, and
for what else would stop an arm in the middle of a motion.

Source: ros-controls/ros2_controllers joint_trajectory_controller@humble, jazzy, kilted, master
(``validate_trajectory_msg``, ``update``, ``publish_state``, the parameters' YAML file).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
import time
from typing import Any

from builtin_interfaces.msg import Duration
from cosmos_policy_ros.control.safety import WatchdogLimits
from cosmos_policy_ros.robot import CommandOutput
from cosmos_policy_ros.ros.arms.controller import watch_controller
from cosmos_policy_ros.ros.arms.driver import CONTROL_MSGS, optional_class, Pack, Watch
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription
from cosmos_policy_ros.topics import ARM_TRAJECTORY_COMMAND, CONTROLLER_STATE
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

SILENT_S = 0.5  # without a state: Humble sends 50 a second, later ones one per update
FULL_SPEED = 0.99  # of the speed scaling; a slider at 100 % is not always exactly 1


def topics(output: CommandOutput) -> tuple[str, ...]:
    """Return the controller's command topic."""
    return (output.topic,)


def open_output(node: Node, output: CommandOutput, period_s: float) -> Pack:
    """Open the topic; the point is due one period after a message arrives."""
    publisher = create_publisher(node, ARM_TRAJECTORY_COMMAND.at(output.topic))
    names = list(output.joints)
    sec, nanosec = divmod(round(period_s * 1e9), 10**9)

    def pack(positions: NDArray[np.float32]) -> list[Callable[[], None]]:
        point = JointTrajectoryPoint(positions=output.to_controller_units(positions))
        point.time_from_start = Duration(sec=sec, nanosec=nanosec)
        # stamp 0: the controller starts on arrival, whatever its clock shows
        message = JointTrajectory(joint_names=names, points=[point])
        return [partial(publisher.publish, message)]

    return pack


def open_watch(node: Node, output: CommandOutput, period_s: float) -> Watch:
    """Ask the controller for its parameters and listen to its state.

    Raises:
        ConfigError: ``control_msgs`` is not installed.
    """
    state_class = optional_class('trajectory', CONTROLLER_STATE.type, CONTROL_MSGS)
    controller = output.topic.rpartition('/')[0]
    topic = CONTROLLER_STATE.at(f'{controller}/controller_state')
    newest, came_s = b'', -float('inf')

    def on_state(data: bytes) -> None:
        nonlocal newest, came_s
        newest, came_s = data, time.perf_counter()

    # raw: a state comes with every update, and few are looked at
    create_subscription(node, topic, on_state, raw=True)

    def refuse(found: Mapping[str, Any]) -> str:
        if mismatch := refuse_parameters(found, output, period_s):
            return mismatch
        if time.perf_counter() - came_s > SILENT_S:
            return f'is not active: {topic.name} is silent; activate the controller'
        return refuse_scaling(found, deserialize_message(newest, state_class))

    return watch_controller(node, output.topic, refuse)


def refuse_parameters(found: Mapping[str, Any], output: CommandOutput, period_s: float) -> str:
    """Return what is wrong with the parameters of a controller, empty when nothing is.

    Args:
        found: Parameters of the controller.
        output: What is sent to it.
        period_s: Time from one command to the next [s].
    """
    joints, sent = list(found.get('joints') or []), list(output.joints)
    foreign = [joint for joint in sent if joint not in joints]
    if foreign:
        return f'has the joints {joints} and refuses {foreign}; write its names in the robot file'
    if len(joints) != len(sent) and not found.get('allow_partial_joints_goal'):
        missing = [joint for joint in joints if joint not in sent]
        return (
            f'refuses every message without {missing}, which the robot file does not have; give '
            'them a controller of their own, or set allow_partial_joints_goal'
        )
    if not (found.get('interpolate_from_desired_state') or found.get('open_loop_control')):
        return (
            'starts every point at the measured pose, which pulls a lagging arm back with every '
            'message; set interpolate_from_desired_state: true (Humble: open_loop_control: true)'
        )
    if found.get('interpolation_method', 'splines') == 'none':
        return (
            'does not interpolate: it waits for the time of a point, and the next message comes '
            'before; set interpolation_method: splines'
        )
    rate_hz, wanted_hz = found.get('update_rate') or 0, 1.0 / period_s
    if 0 < rate_hz < wanted_hz:
        return (
            f'is updated at {rate_hz} Hz and commands come at {wanted_hz:.0f} Hz; raise the '
            'update_rate of the controller manager'
        )
    return _refuse_tolerances(found, output.arm_joints)


def refuse_scaling(found: Mapping[str, Any], state: Any) -> str:
    """Return that a controller stretches the time of what it is sent, empty when it does not.

    Args:
        found: Parameters of the controller. One without ``speed_scaling`` among them does not
            scale and leaves that field of its state 0, if the message has it at all.
        state: Its JointTrajectoryControllerState.
    """
    if not any(name.startswith('speed_scaling.') for name in found):
        return ''
    scaling = state.speed_scaling_factor
    if scaling >= FULL_SPEED:
        return ''
    return (
        f'runs at {100 * scaling:.0f} % of the speed that it is sent (speed scaling), so the arm '
        'falls behind; end a safeguard stop or set the slider of the robot to 100 %, and lower '
        'speed_scale of the planner instead'
    )


def _refuse_tolerances(found: Mapping[str, Any], joints: tuple[str, ...]) -> str:
    """Return that a tolerance would stop an arm that follows as well as it may."""
    gap_rad = WatchdogLimits.max_gap_rad
    for joint in joints:
        name = f'constraints.{joint}.trajectory'
        tolerance = found.get(name) or 0.0  # 0 is none
        if 0.0 < tolerance < gap_rad:
            return (
                f'stops the arm when {joint} is {tolerance} rad behind ({name}), as an arm in '
                f'motion may be; set 0, or more than {gap_rad} rad'
            )
    return ''

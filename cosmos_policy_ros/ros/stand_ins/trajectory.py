# SPDX-License-Identifier: Apache-2.0
"""Stand-in for ``JointTrajectoryController``: its topics and services around its behaviour.

Source: ros-controls/ros2_controllers@jazzy joint_trajectory_controller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cosmos_policy_ros.ros.arms.driver import CONTROL_MSGS, optional_class
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription, create_timer
from cosmos_policy_ros.ros.stand_ins.joints import SimulatedJoints
from cosmos_policy_ros.ros.stand_ins.parameters import serve_parameters
from cosmos_policy_ros.ros.stand_ins.trajectory_controller import (
    JointTrajectoryController,
    Point,
    right_parameters,
)
from cosmos_policy_ros.topics import ARM_TRAJECTORY_COMMAND, CONTROLLER_STATE, STREAM
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint


def serve(node: Node, joints: SimulatedJoints) -> Callable[[], None]:
    """Take trajectories, command the joints at the update rate and send the state.

    Raises:
        ConfigError: ``control_msgs`` is not installed.
    """
    return serve_controller(node, joints, right_parameters(joints.output.joints)).activate


def serve_controller(
    node: Node, joints: SimulatedJoints, parameters: Mapping[str, Any]
) -> JointTrajectoryController:
    """Do the same with other parameters, and return the controller.

    Args:
        node: Node that owns topics and services.
        joints: The controller's joints.
        parameters: Those of ``right_parameters``, with other values.

    Raises:
        ConfigError: ``control_msgs`` is not installed.
    """
    state_class = optional_class('trajectory', CONTROLLER_STATE.type, CONTROL_MSGS)
    output, log = joints.output, node.get_logger()
    controller = JointTrajectoryController(parameters)
    name = output.topic.rpartition('/')[0]
    state = create_publisher(node, CONTROLLER_STATE.at(f'{name}/controller_state'))

    def now_s() -> float:
        return node.get_clock().now().nanoseconds * 1e-9

    def on_trajectory(message: JointTrajectory) -> None:
        points = [
            Point(p.time_from_start.sec + p.time_from_start.nanosec * 1e-9, tuple(p.positions))
            for p in message.points
        ]
        start_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        refusal = controller.accept(message.joint_names, points, start_s, now_s())
        if refusal:
            log.error(f'{name}: {refusal}', throttle_duration_sec=1.0)

    def update() -> None:
        measured = joints.measure()
        joints.command(controller.update(now_s(), measured))
        message = state_class(joint_names=list(output.joints))
        message.header.stamp = node.get_clock().now().to_msg()
        message.reference = JointTrajectoryPoint(positions=controller.desired.tolist())
        message.feedback = JointTrajectoryPoint(positions=measured.tolist())
        message.error = JointTrajectoryPoint(positions=(controller.desired - measured).tolist())
        message.output = JointTrajectoryPoint(positions=controller.commanded.tolist())
        message.speed_scaling_factor = controller.scaling
        state.publish(message)

    create_subscription(node, ARM_TRAJECTORY_COMMAND.at(output.topic), on_trajectory, STREAM)
    serve_parameters(node, name, parameters)
    create_timer(node, 1.0 / parameters['update_rate'], update, alone=True)
    return controller

# SPDX-License-Identifier: Apache-2.0
"""A contract made of a robot file, by which rosetta records the robot and runs policies on it.

Commands are bounded by the range of the joints that leave together, the only limit that a contract
has a word for: speeds, accelerations and distances are kept by the executor of this package alone.
``safety`` is left at ``none``, so that at a stop the controller keeps the last command: ``zeros``
is a pose, and ``hold`` commands the same before anything was sent.

Source: iblnkn/rosetta@dfd07e4 ``doc/reference/contract.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cosmos_policy_ros.data.rosetta.contract import COMMANDS, JOINT_STATE, NUMBERS
from cosmos_policy_ros.robot import ArmSpec, CameraSpec, CommandOutput, RobotSpec
from cosmos_policy_ros.topics import camera_images, Qos, SENSOR
from cosmos_policy_ros.types import ConfigError
import yaml


def write_contract(robot: RobotSpec) -> tuple[str, tuple[str, ...]]:
    """Return the text of the contract of a robot, and what of the robot file is not in it.

    Args:
        robot: Robot with the full names of its topics.

    Raises:
        ConfigError: A command leaves in a way that rosetta does not have, or the control rate is
            no whole number.
    """
    if robot.control_rate_hz % 1:
        msg = f'robot {robot.name}: control_rate_hz must be a whole number, as fps of a contract, '
        msg += f'got {robot.control_rate_hz:g}'
        raise ConfigError(msg)
    outputs = [(arm, output) for arm in robot.arms for output in arm.outputs]
    states = [_state(arm) for arm in robot.arms]
    actions = [_action(arm, output) for arm, output in outputs]
    contract = {
        'robot_type': robot.name,
        'robot_interface': 'ros2',
        'fps': int(robot.control_rate_hz),
        'observations': {
            **{f'observation.images.{c.name}': _image(c) for c in robot.cameras},
            'observation.state': states if len(states) > 1 else states[0],
        },
        'actions': {'action': actions if len(actions) > 1 else actions[0]},
    }
    text = yaml.safe_dump(contract, sort_keys=False, default_flow_style=None, width=110)
    head = (
        f'# Contract of {robot.name} for rosetta. What policies send is bounded by clamp alone:\n'
        '# nobody keeps limits of single joints, speeds, accelerations and distances then.\n'
    )
    return head + text, tuple(_left_out(robot))


def _left_out(robot: RobotSpec) -> list[str]:
    """Return what of a robot file a contract has no word for, beyond its limits and poses."""
    remarks = [
        'limits of single joints, speeds, accelerations, poses, gripper scales and the scene are '
        'left out: what rosetta sends is bounded by the range of all joints of a topic alone'
    ]
    for arm in robot.arms:
        if arm.leader is not None:
            remarks.append(f'the leader of {arm.name} is left out: its gripper has other units')
        if arm.command_velocities or arm.command_efforts:
            remarks.append(f'the velocities and efforts of {arm.name}, constants, are left out')
    if any(output.driver == 'trajectory' for arm in robot.arms for output in arm.outputs):
        remarks.append(
            'rosetta sends a JointTrajectory that is due at its stamp, which a '
            'JointTrajectoryController refuses as past: the contract records, and runs no policy'
        )
    return remarks


def _state(arm: ArmSpec) -> dict[str, Any]:
    """Return the measured joints of an arm."""
    return {
        'channel': _channel(arm.joint_state_topic, JOINT_STATE, SENSOR),
        'align': {'strategy': 'hold', 'timeline': 'header'},
        'select': [f'position.{joint}' for joint in arm.state_joints],
    }


def _image(camera: CameraSpec) -> dict[str, Any]:
    """Return a camera, whose images keep their size."""
    topic = camera_images(camera)
    return {
        'channel': _channel(topic.name, topic.type, SENSOR),
        'align': {'strategy': 'hold', 'timeline': 'header'},
        'apply': [{'resize': [camera.height, camera.width]}],
    }


def _action(arm: ArmSpec, output: CommandOutput) -> dict[str, Any]:
    """Return the commands of joints that leave together.

    Raises:
        ConfigError: Rosetta does not send what their driver sends.
    """
    row = COMMANDS.get(output.driver)
    if row is None:
        msg = (
            f'arm {arm.name}: {output.topic} is of driver {output.driver!r}, which rosetta cannot '
            f'send; it has those of {tuple(COMMANDS)}'
        )
        raise ConfigError(msg)
    stamped = row.type != NUMBERS
    ends = [*arm.lower, *arm.upper] if output.arm_joints else []
    if output.gripper is not None:
        ends += [output.gripper.command_closed, output.gripper.command_open]
    return {
        'channel': _channel(output.topic, row.type, row.qos),
        'align': {'strategy': 'hold', 'timeline': 'header' if stamped else 'receive'},
        'select': [f'position.{joint}' for joint in output.joints],
        'apply': [{'clamp': {'min': min(ends), 'max': max(ends)}}],
    }


def _channel(topic: str, kind: str, qos: Qos) -> Mapping[str, Any]:
    """Return a topic with its type and quality of service."""
    return {
        'topic': topic,
        'type': kind,
        'qos': {
            'reliability': qos.reliability,
            'durability': qos.durability,
            'history': 'keep_last',
            'depth': qos.depth,
        },
    }

# SPDX-License-Identifier: Apache-2.0
"""An arm that nothing has come from: its driver does not run, or its messages do not arrive."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import joint_state_message
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.ros.joint_states import JointStates
from cosmos_policy_ros.topics import JOINT_STATES
from node_bench import ros_node, SteppedBench

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
LEFT = ROBOT.arms[0]
TOPIC = LEFT.joint_state_topic


def test_silence_is_told_from_a_driver_that_does_not_run() -> None:
    """The second reason names the publisher and what may be in the way."""
    with ros_node('listener') as node:
        joints = JointStates(node, ROBOT, lambda *_: None)
        reason = joints.find_unrest(0.05)
        assert reason == f'nobody publishes {TOPIC}; start the driver of {LEFT.name}'
        publisher = create_publisher(node, JOINT_STATES.at(TOPIC))
        bench = SteppedBench(node)
        bench.wait(lambda: 'nobody' not in joints.find_unrest(0.05))
        assert f'{TOPIC} has 1 publisher and nothing of it' in joints.find_unrest(0.05)
        names = [*LEFT.joints, 'left_finger']
        message = joint_state_message(names, [*LEFT.start[:-1], 0.03], 1)

        def heard() -> bool:
            publisher.publish(message)
            return 'nothing of it' not in joints.find_unrest(0.05)

        bench.wait(heard)
        assert 'wait for 10 that agree' in joints.find_unrest(0.05)


def test_nobody_knows_how_old_a_pose_is_after_a_clock_was_set_back() -> None:
    """It is not fresh for as long as the clock was set back by."""
    with ros_node('listener') as node:
        joints = JointStates(node, ROBOT, lambda *_: None)
        now_ns = node.get_clock().now().nanoseconds
        for arm, believed in zip(ROBOT.arms, joints._filters, strict=True):
            names = [*arm.joints, 'left_finger']
            for k in range(30, 0, -1):
                stamp_ns = now_ns - k * 10_000_000
                message = joint_state_message(names, [*arm.start[:-1], 0.03], stamp_ns)
                joints.on_message(arm, believed, message)
        assert joints.measure(now_ns)[1] == pytest.approx(0.01)
        assert joints.measure(now_ns - 3_600_000_000_000)[1] == math.inf

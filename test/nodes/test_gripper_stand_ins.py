# SPDX-License-Identifier: Apache-2.0
"""The stand-ins for gripper controllers move a finger, stop at an object and refuse strangers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('control_msgs')

from action_msgs.msg import GoalStatus
from control_msgs.action import GripperCommand, ParallelGripperCommand
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.arms import open_arms
from cosmos_policy_ros.ros.arms.driver import Pack
from cosmos_policy_ros.ros.control_loop import EventsExecutor
from cosmos_policy_ros.ros.stand_ins import STAND_INS
from cosmos_policy_ros.ros.stand_ins.joints import SimulatedJoints
from node_bench import ros_node
from rclpy.action import ActionClient
from rclpy.node import Node

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
ACTION = '/left_gripper_controller/gripper_cmd'
CLOSED_M, OPEN_M = 0.01844, 0.058
PERIOD_S = 0.01


class Finger:
    """A finger that moves at 0.1 m/s to where it is commanded, and not through an object."""

    def __init__(self, node: Node) -> None:
        """Stand closed."""
        self.position = self.commanded = CLOSED_M
        self.speed, self.object_m = 0.0, 0.0
        node.create_timer(PERIOD_S, self._move)

    def _move(self) -> None:
        step = float(np.clip(self.commanded - self.position, -1e-3, 1e-3))
        after = max(self.position + step, self.object_m)
        self.speed, self.position = (after - self.position) / PERIOD_S, after

    def command(self, positions: NDArray[np.float64]) -> None:
        """Take a target [m]."""
        self.commanded = float(positions[0])

    def measure(self) -> NDArray[np.float64]:
        """Return (1,) positions [m]."""
        return np.array([self.position])

    def motion(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (1,) speeds [m/s] and no effort."""
        return np.array([self.speed]), np.zeros(1)


class Bench:
    """A finger behind the stand-in of a driver, and a client of its action."""

    def __init__(self, node: Node, driver: str) -> None:
        """Open both on one node."""
        arm = ROBOT.arms[0]
        assert arm.gripper is not None
        gripper = replace(arm.gripper, driver=driver, command_topic=ACTION)
        self.node, self.arm, self.finger = node, replace(arm, gripper=gripper), Finger(node)
        finger = self.finger
        joints = SimulatedJoints(
            self.arm.outputs[1], '', finger.command, finger.measure, finger.motion
        )
        self.reset = STAND_INS[driver].serve(node, joints)
        self.kind: Any = GripperCommand if driver == 'gripper_command' else ParallelGripperCommand
        self._client = ActionClient(node, self.kind, ACTION)
        self._executor = EventsExecutor()
        self._executor.add_node(node)

    def spin(self, future: Any) -> Any:
        """Run the node until a future is done and return its result."""
        self._executor.spin_until_future_complete(future, 20.0)
        assert future.done()
        return future.result()

    def send(self, position: float, joint: str = 'left_finger') -> Any:
        """Send a goal and return its handle."""
        goal = self.kind.Goal()
        if self.kind is GripperCommand:
            goal.command.position = position
        else:
            goal.command.name, goal.command.position = [joint], [position]
        while not self._client.server_is_ready():
            self._executor.spin_once(timeout_sec=0.05)
        return self.spin(self._client.send_goal_async(goal))

    def follow(self, pack: Pack, opening: float, position: float) -> None:
        """Command an opening at 50 Hz until the finger is there."""
        pose = np.array([0.0] * 6 + [opening], dtype=np.float32)
        end_s = time.monotonic() + 20.0
        while abs(self.finger.position - position) > 1e-3:
            assert time.monotonic() < end_s, f'the finger stands at {self.finger.position}'
            for leave in pack(pose):
                leave()
            self._executor.spin_once(timeout_sec=0.02)

    def result(self, handle: Any) -> Any:
        """Return how a goal ended."""
        return self.spin(handle.get_result_async())


@pytest.fixture(params=['gripper_command', 'parallel_gripper'])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Return a bench of each driver, in a ROS domain of its own."""
    with ros_node('gripper_stand_in_test') as node:
        yield Bench(node, request.param)


def test_goal_is_reached_and_says_so(bench: Bench) -> None:
    """The finger opens within the tolerance of 1 cm."""
    result = bench.result(bench.send(OPEN_M))
    assert result.status == GoalStatus.STATUS_SUCCEEDED
    assert (result.result.reached_goal, result.result.stalled) == (True, False)
    assert bench.finger.position > OPEN_M - 0.01


def test_goal_that_an_object_stops_is_given_up_and_the_grip_stays(bench: Bench) -> None:
    """A second without motion; the finger goes on pressing."""
    bench.finger.position = bench.finger.commanded = OPEN_M
    bench.finger.object_m = 0.04
    result = bench.result(bench.send(CLOSED_M))
    assert result.status == GoalStatus.STATUS_ABORTED
    assert (result.result.reached_goal, result.result.stalled) == (False, True)
    assert bench.finger.commanded == pytest.approx(CLOSED_M)


def test_new_goal_replaces_the_running_one(bench: Bench) -> None:
    """The first ends without being reached, the second is."""
    first, second = bench.send(OPEN_M), bench.send(CLOSED_M)
    ended = bench.result(first)
    assert ended.status == GoalStatus.STATUS_ABORTED
    assert not ended.result.reached_goal
    assert bench.result(second).status == GoalStatus.STATUS_SUCCEEDED


def test_canceled_goal_keeps_the_finger_where_it_is(bench: Bench) -> None:
    """It was on its way."""
    handle = bench.send(OPEN_M)
    bench.spin(handle.cancel_goal_async())
    assert bench.result(handle).status == GoalStatus.STATUS_CANCELED
    assert bench.finger.commanded == pytest.approx(bench.finger.position, abs=0.02)
    assert bench.finger.commanded < OPEN_M


def test_goals_that_mean_nothing_are_refused(bench: Bench) -> None:
    """NaN, and a joint of somebody else where joints have names."""
    assert not bench.send(float('nan')).accepted
    if bench.kind is ParallelGripperCommand:
        assert not bench.send(OPEN_M, joint='other').accepted


def test_gripper_follows_the_driver_of_the_package(bench: Bench) -> None:
    """Openings at 50 Hz become goals, and the finger arrives."""
    pack = open_arms(bench.node, [bench.arm], 0.02)
    bench.follow(pack, 1.0, OPEN_M)
    bench.follow(pack, 0.0, CLOSED_M)

# SPDX-License-Identifier: Apache-2.0
"""Goals for grippers behind an action: few, in the units of the controller, and none lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
import sys
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.robot import ArmSpec, read_robot
from cosmos_policy_ros.ros.arms import command_topics, DRIVERS, open_arms
from cosmos_policy_ros.ros.arms.driver import Pack
from cosmos_policy_ros.ros.arms.goals import GoalStream
from cosmos_policy_ros.ros.control_loop import EventsExecutor
from cosmos_policy_ros.types import ConfigError
from node_bench import ros_node
from rclpy.action import ActionServer, GoalResponse
from rclpy.node import Node

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
ACTION = '/left_gripper_controller/gripper_cmd'
CLOSED_M, OPEN_M = 0.01844, 0.058


def ticks(stream: GoalStream, openings: list[float], from_s: float = 0.0) -> list[float]:
    """Feed a stream at 50 Hz and return the openings that became goals."""
    return [x for i, x in enumerate(openings) if stream.feed(x, from_s + 0.02 * i)]


def test_first_opening_is_a_goal_and_the_same_again_is_none() -> None:
    """A gripper that stands still gets one goal."""
    assert ticks(GoalStream(), [0.3] * 20) == [0.3]


def test_moving_gripper_gets_a_goal_every_tenth_of_a_second_and_the_last_one() -> None:
    """A goal per tick would cancel every one before it is reached."""
    moving = [round(0.02 * i, 2) for i in range(12)]
    assert ticks(GoalStream(), [*moving, *[0.225] * 20]) == [0.0, 0.1, 0.2, 0.225]


def test_gripper_is_sent_again_after_a_pause_without_commands() -> None:
    """Somebody may have opened it while the executor was disabled."""
    stream = GoalStream()
    assert ticks(stream, [0.3] * 3) == [0.3]
    assert ticks(stream, [0.3] * 3, from_s=2.0) == [0.3]


def test_failed_goal_is_sent_again_not_sooner_than_the_next_one() -> None:
    """A controller that starts late gets the opening, and no flood of goals until then."""
    stream = GoalStream()
    assert stream.feed(0.3, 0.0)
    stream.fail()
    assert ticks(stream, [0.3] * 10, from_s=0.02) == [0.3]


def test_missing_control_msgs_are_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package and where it comes from are named."""
    monkeypatch.setitem(sys.modules, 'control_msgs.action', None)
    for driver in ('gripper_command', 'parallel_gripper'):
        with pytest.raises(ConfigError, match=r'control_msgs.*build it from ros-controls'):
            DRIVERS[driver].open_output(object(), arm_with(driver).outputs[1], 0.02)


def arm_with(driver: str, **changes: object) -> ArmSpec:
    """Return an arm whose gripper has a driver of its own."""
    arm = ROBOT.arms[0]
    assert arm.gripper is not None
    gripper = replace(arm.gripper, driver=driver, command_topic=ACTION, **changes)
    return replace(arm, gripper=gripper)


class Bench:
    """A node with an executor of the control loop, and a controller that can start later."""

    def __init__(self, node: Node) -> None:
        """Start without a controller."""
        self.node = node
        self.goals: list[Any] = []
        self.refuse = False
        self._executor = EventsExecutor()
        self._executor.add_node(node)

    def serve(self, kind: type) -> ActionServer:
        """Serve the action and keep its goals."""

        def accept(goal: Any) -> GoalResponse:
            self.goals.append(goal)
            return GoalResponse.REJECT if self.refuse else GoalResponse.ACCEPT

        def execute(handle: Any) -> Any:
            handle.succeed()
            return kind.Result()

        return ActionServer(self.node, kind, ACTION, execute, goal_callback=accept)

    def command(self, pack: Pack, opening: float, until: Callable[[], bool]) -> None:
        """Send a pose with an opening at 50 Hz until something holds."""
        pose = np.array([0.0] * 6 + [opening], dtype=np.float32)
        end_s = time.monotonic() + 20.0
        while not until():
            assert time.monotonic() < end_s, 'no answer in 20 s'
            for leave in pack(pose):
                leave()
            self._executor.spin_once(timeout_sec=0.02)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a bench in a ROS domain of its own, where control_msgs is installed."""
    pytest.importorskip('control_msgs')
    with ros_node('gripper_test') as node:
        yield Bench(node)


def test_gripper_command_gets_position_and_effort(bench: Bench) -> None:
    """control_msgs/action/GripperCommand, with the position in metres."""
    from control_msgs.action import GripperCommand

    server = bench.serve(GripperCommand)
    arm = arm_with('gripper_command', max_effort=5.0)
    assert command_topics([arm]) == ['/follower_left_controller/commands']
    pack = open_arms(bench.node, [arm], 0.02)
    bench.command(pack, 1.0, lambda: len(bench.goals) >= 1)
    (goal,) = bench.goals
    assert goal.command.position == pytest.approx(OPEN_M)
    assert goal.command.max_effort == 5.0
    bench.command(pack, 0.0, lambda: len(bench.goals) >= 2)
    assert bench.goals[1].command.position == pytest.approx(CLOSED_M)
    server.destroy()


def test_parallel_gripper_gets_the_joint_by_name(bench: Bench) -> None:
    """control_msgs/action/ParallelGripperCommand; without a largest effort there is none in it."""
    from control_msgs.action import ParallelGripperCommand

    server = bench.serve(ParallelGripperCommand)
    pack = open_arms(bench.node, [arm_with('parallel_gripper')], 0.02)
    bench.command(pack, 0.5, lambda: len(bench.goals) >= 1)
    (goal,) = bench.goals
    assert list(goal.command.name) == ['left_finger']
    assert list(goal.command.position) == pytest.approx([(CLOSED_M + OPEN_M) / 2])
    assert list(goal.command.effort) == []
    server.destroy()


def test_controller_that_starts_late_gets_the_opening(bench: Bench) -> None:
    """Goals that could not leave, or were refused, are sent again."""
    from control_msgs.action import GripperCommand

    pack = open_arms(bench.node, [arm_with('gripper_command')], 0.02)
    waited_s = time.monotonic() + 0.3
    bench.command(pack, 1.0, lambda: time.monotonic() > waited_s)
    bench.refuse = True
    server = bench.serve(GripperCommand)
    bench.command(pack, 1.0, lambda: len(bench.goals) >= 2)
    bench.refuse, sent = False, len(bench.goals)
    bench.command(pack, 1.0, lambda: len(bench.goals) > sent)
    assert bench.goals[-1].command.position == pytest.approx(OPEN_M)
    server.destroy()

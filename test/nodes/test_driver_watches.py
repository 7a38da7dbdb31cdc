# SPDX-License-Identifier: Apache-2.0
"""Drivers ask the software of an arm whether it will do as commanded, and say why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.robot import CommandOutput, read_robot
from cosmos_policy_ros.ros.arms import DRIVERS, forward, open_watches
from cosmos_policy_ros.ros.arms.controller import Controller
from cosmos_policy_ros.ros.arms.trajectory import refuse_parameters, refuse_scaling
from cosmos_policy_ros.ros.stand_ins.joints import SimulatedJoints
from cosmos_policy_ros.ros.stand_ins.parameters import serve_parameters
from cosmos_policy_ros.ros.stand_ins.trajectory_controller import right_parameters
from node_bench import ros_node, SteppedBench
import rclpy
from rclpy.node import Node
from ros_domains import ros_domain
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
OUTPUT = CommandOutput('trajectory', '/arm/joint_trajectory', ('waist', 'elbow'), None)
RIGHT = right_parameters(['waist', 'elbow'])
PERIOD_S = 0.02


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({}, ''),
        ({'open_loop_control': True, 'interpolate_from_desired_state': None}, ''),
        ({'joints': ['elbow', 'waist']}, ''),
        ({'joints': ['shoulder', 'elbow']}, r"refuses \['waist'\]; write its names"),
        ({'joints': ['waist', 'elbow', 'jaw']}, r"refuses every message without \['jaw'\]"),
        ({'joints': ['waist', 'elbow', 'jaw'], 'allow_partial_joints_goal': True}, ''),
        ({'interpolate_from_desired_state': False}, 'starts every point at the measured pose'),
        ({'interpolation_method': 'none'}, 'set interpolation_method: splines'),
        ({'update_rate': 10}, 'is updated at 10 Hz and commands come at 50 Hz; raise'),
        ({'update_rate': 0}, ''),
        ({'constraints.elbow.trajectory': 0.05}, r'stops the arm when elbow is 0\.05 rad behind'),
        ({'constraints.elbow.trajectory': 0.2}, ''),
    ],
)
def test_trajectory_controller_is_refused_where_it_would_saw_refuse_or_stop(
    changes: dict[str, Any], reason: str
) -> None:
    """Each reason says what to set; Humble has open_loop_control instead."""
    found = refuse_parameters(RIGHT | changes, OUTPUT, PERIOD_S)
    assert bool(found) == bool(reason)
    assert re.search(reason, found)


def test_a_controller_that_takes_a_parameter_away_is_asked_again() -> None:
    """Between the list of its parameters and their values, of which it then gives none."""
    with ros_node('asker') as node:
        controller = Controller(node, '/arm/commands')
        controller._on_values(['joints', 'gone'], [])
        assert controller.parameters is None


@pytest.mark.parametrize(
    ('found', 'scaling', 'percent'),
    [
        ({'speed_scaling.state_interface': 'speed/factor'}, 1.0, None),
        ({'speed_scaling.state_interface': 'speed/factor'}, 0.4, '40 %'),
        ({'speed_scaling.state_interface': 'speed/factor'}, 0.0, '0 %'),
        ({'joints': ['waist']}, 0.0, None),
    ],
)
def test_speed_scaling_is_heard_where_the_controller_has_it(
    found: dict[str, Any], scaling: float, percent: str | None
) -> None:
    """An older controller leaves the field of a newer message 0."""
    reason = refuse_scaling(found, SimpleNamespace(speed_scaling_factor=scaling))
    assert (percent is None and not reason) or f'runs at {percent} of the speed' in reason


@pytest.mark.parametrize(
    ('found', 'reason'),
    [
        ({'joints': ['waist', 'elbow']}, ''),
        ({'joints': ['elbow', 'waist']}, 'in the order of the controller'),
        ({'joints': ['waist', 'elbow'], 'interface_name': 'velocity'}, 'commands the velocity'),
        ({}, r'commands the joints []'),
    ],
)
def test_forward_controller_is_refused_with_another_order(
    found: dict[str, Any], reason: str
) -> None:
    """Its numbers have no names."""
    got = forward.refuse_parameters(found, OUTPUT)
    assert bool(got) == bool(reason)
    assert reason in got


class Bench(SteppedBench):
    """A node that asks and one that answers."""

    def __init__(self) -> None:
        """Start both."""
        self.asking, self.arm = Node('asking'), Node('robot')
        super().__init__(self.asking, self.arm)

    def trouble(self, driver: str, output: CommandOutput, wanted: str) -> str:
        """Return what the watch of a driver says, once it is what is wanted or 20 s later."""
        watch = DRIVERS[driver].open_watch(self.asking, output, PERIOD_S)
        return self.settle(watch, wanted)

    def settle(self, watch: Any, wanted: str) -> str:
        """Wait until a watch says what is wanted, and return what it says."""
        self.wait(lambda: wanted in watch() if wanted else not watch(), 20.0)
        return watch()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a bench in a ROS domain of its own."""
    with ros_domain():
        rclpy.init()
        bench = Bench()
        yield bench
        bench.close()
        rclpy.shutdown()


def test_arm_that_nobody_drives_is_trouble(bench: Bench) -> None:
    """Each driver names the topic, and what to start."""
    robot = replace(ROBOT, arms=tuple(replace(arm, driver='joint_state') for arm in ROBOT.arms))
    watches = open_watches(bench.asking, robot.arms, PERIOD_S)
    assert list(watches) == [arm.command_topic for arm in robot.arms]
    assert watches['/follower_left_controller/commands']() == (
        'nobody listens on /follower_left_controller/commands; start the driver of the arm'
    )


def test_listener_that_answers_no_question_is_trouble(bench: Bench) -> None:
    """It says what was asked and that it was not answered."""
    bench.arm.create_subscription(Float64MultiArray, '/arm/commands', print, 1)
    output = replace(OUTPUT, topic='/arm/commands')
    said = bench.trouble('forward', output, 'has not answered')
    assert said.startswith('/arm has not answered /arm/get_parameters yet; ')


def test_controller_is_asked_again_after_it_was_away(bench: Bench) -> None:
    """Started anew it may have other parameters."""
    output = replace(OUTPUT, topic='/arm/commands')
    parameters = {'joints': ['waist', 'elbow']}
    serve_parameters(bench.arm, '/arm', parameters)
    listens = bench.arm.create_subscription(Float64MultiArray, '/arm/commands', print, 1)
    watch = DRIVERS['forward'].open_watch(bench.asking, output, PERIOD_S)
    bench.settle(watch, '')
    bench.arm.destroy_subscription(listens)
    bench.settle(watch, 'nobody listens on /arm/commands')
    parameters['joints'] = ['elbow', 'waist']
    bench.arm.create_subscription(Float64MultiArray, '/arm/commands', print, 1)
    bench.settle(watch, "/arm commands the joints ['elbow', 'waist']")


def test_controller_in_the_place_of_another_is_asked_too(bench: Bench) -> None:
    """One that was killed still seems to listen; who only looks at commands is none."""
    arm = Node('arm', start_parameter_services=False)
    bench.executor.add_node(arm)
    parameters = {'joints': ['waist', 'elbow']}
    serve_parameters(arm, '/arm', parameters)
    arm.create_subscription(Float64MultiArray, '/arm/commands', print, 1)
    output = replace(OUTPUT, topic='/arm/commands')
    watch = DRIVERS['forward'].open_watch(bench.asking, output, PERIOD_S)
    bench.settle(watch, '')
    parameters['joints'] = ['elbow', 'waist']
    bench.arm.create_subscription(Float64MultiArray, '/arm/commands', print, 1)
    bench.spin(1.5)
    assert watch() == ''
    arm.create_subscription(Float64MultiArray, '/arm/commands', print, 1)
    bench.settle(watch, "/arm commands the joints ['elbow', 'waist']")


class SimulatedArm:
    """Two joints that are at once where they are commanded to be."""

    def __init__(self) -> None:
        """Start at 0."""
        self.positions = np.zeros(2)
        rest = np.zeros(2), np.zeros(2)
        self.joints = SimulatedJoints(
            OUTPUT, '', self.command, lambda: self.positions, lambda: rest
        )

    def command(self, positions: np.ndarray) -> None:
        """Go there."""
        self.positions = positions


def test_command_comes_back_from_the_units_of_its_controller() -> None:
    """A finger at 0.058 m is fully open; the joints stay as they are."""
    (output,) = ROBOT.arms[0].outputs
    there = output.from_controller_units(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.058]))
    assert there.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0])


def test_trajectory_controller_is_heard_while_it_is_active(bench: Bench) -> None:
    """Its own answers, its state and its speed scaling, over the real message types."""
    pytest.importorskip('control_msgs')
    from cosmos_policy_ros.ros.stand_ins.trajectory import serve_controller

    controller = serve_controller(bench.arm, SimulatedArm().joints, RIGHT)
    watch = DRIVERS['trajectory'].open_watch(bench.asking, OUTPUT, PERIOD_S)
    bench.settle(watch, '')
    controller.scaling = 0.3
    bench.settle(watch, '/arm runs at 30 % of the speed that it is sent')
    controller.scaling = 1.0
    bench.settle(watch, '')


def test_trajectory_controller_without_a_state_is_not_active(bench: Bench) -> None:
    """It has its parameters and listens, and would do nothing."""
    pytest.importorskip('control_msgs')
    serve_parameters(bench.arm, '/arm', RIGHT)
    bench.arm.create_subscription(JointTrajectory, '/arm/joint_trajectory', print, 1)
    watch = DRIVERS['trajectory'].open_watch(bench.asking, OUTPUT, PERIOD_S)
    bench.settle(watch, '/arm is not active: /arm/controller_state is silent; activate')

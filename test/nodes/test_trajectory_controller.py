# SPDX-License-Identifier: Apache-2.0
"""The stand-in for a JointTrajectoryController moves, replaces and refuses as the original."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.ros.stand_ins.trajectory_controller import (
    JointTrajectoryController,
    Point,
    right_parameters,
)

JOINTS = ['waist', 'elbow']
AT_REST = np.array([0.0, 0.0])


def controller(**changes: object) -> JointTrajectoryController:
    """Return an active controller at 100 Hz that holds both joints at 0 since the time 1.00 s."""
    names = {name.replace('.', '__'): name for name in right_parameters(JOINTS)}
    changed = {names[name]: value for name, value in changes.items()}
    made = JointTrajectoryController(right_parameters(JOINTS) | changed)
    made.update(1.00, AT_REST)
    return made


def send(made: JointTrajectoryController, waist: float, at_s: float, due_s: float = 0.02) -> str:
    """Send one point as the driver does."""
    return made.accept(JOINTS, [Point(due_s, (waist, 0.0))], 0.0, at_s)


def test_point_is_reached_in_a_straight_line_from_the_last_command() -> None:
    """The last command is 10 ms old, the point due in 20 ms: 2 of 3 steps, then the whole."""
    made = controller()
    send(made, 0.03, 1.01)
    assert made.update(1.01, AT_REST).tolist() == pytest.approx([0.02, 0.0])
    assert made.update(1.02, AT_REST).tolist() == pytest.approx([0.03, 0.0])
    assert made.update(1.03, AT_REST).tolist() == pytest.approx([0.03, 0.0])


def stream(made: JointTrajectoryController, arm: Callable[[float], float]) -> list[float]:
    """Send a motion of 1 rad/s at 50 Hz for 1 s and return the steps of the commanded waist."""
    commanded = [0.0]
    for i in range(100):
        now_s = 1.01 + 0.01 * i
        if i % 2 == 0:
            send(made, 0.01 * i, now_s)
        measured = np.array([arm(commanded[-1]), 0.0])
        commanded.append(float(made.update(now_s, measured)[0]))
    return np.diff(commanded).tolist()


def test_stream_of_points_is_followed_steadily_from_the_last_command() -> None:
    """An arm that lags by 40 ms does not change what is commanded."""
    steps = stream(controller(), lambda commanded: commanded - 0.04)
    assert min(steps[4:]) > 0.0
    assert max(steps) < 0.015


def test_stream_of_points_saws_when_they_start_at_the_measured_pose() -> None:
    """By default every message takes the command back to the lagging arm."""
    steps = stream(
        controller(interpolate_from_desired_state=False), lambda commanded: commanded - 0.04
    )
    assert min(steps[4:]) < -0.01


def test_stream_of_points_is_never_reached_without_interpolation() -> None:
    """The point is forwarded when it is due, and the next message comes before."""
    made = controller(interpolation_method='none')
    for i in range(50):
        send(made, 0.1, 1.01 + 0.01 * i)
        made.update(1.01 + 0.01 * i, AT_REST)
    assert made.commanded.tolist() == [0.0, 0.0]


def test_violated_tolerance_stops_the_arm_where_it_is_measured() -> None:
    """The trajectory is dropped; the next message moves on."""
    made = controller(constraints__waist__trajectory=0.05)
    send(made, 1.0, 1.01, due_s=1.0)
    for i in range(5):
        made.update(1.01 + 0.01 * i, AT_REST)
    assert not made.holding
    made.update(1.12, AT_REST)
    assert made.holding
    assert made.update(1.13, AT_REST).tolist() == [0.0, 0.0]
    send(made, 0.01, 1.14)
    made.update(1.14, AT_REST)
    assert not made.holding


def test_speed_scaling_stretches_the_time() -> None:
    """At half speed half of the way is made."""
    made = controller()
    made.scaling = 0.5
    send(made, 1.0, 1.01, due_s=1.0)
    made.update(1.01, AT_REST)
    assert made.update(1.51, AT_REST)[0] == pytest.approx(0.267, abs=0.01)


def test_timeout_after_the_last_point_holds_the_measured_pose() -> None:
    """``cmd_timeout`` counts from the end of the trajectory."""
    made = controller(cmd_timeout=0.1)
    send(made, 0.5, 1.01)
    made.update(1.01, AT_REST)
    assert made.update(1.10, AT_REST).tolist() == [0.5, 0.0]
    made.update(1.20, np.array([0.4, 0.0]))
    assert made.update(1.21, np.array([0.4, 0.0])).tolist() == [0.4, 0.0]


@pytest.mark.parametrize(
    ('names', 'points', 'start_s', 'reason'),
    [
        (['waist'], [Point(0.02, (0.1,))], 0.0, "don't match the controller joints"),
        (['waist', 'jaw'], [Point(0.02, (0.1, 0.1))], 0.0, "incoming joint jaw doesn't match"),
        (JOINTS, [], 0.0, 'empty trajectory'),
        (JOINTS, [Point(0.02, (0.1,))], 0.0, 'mismatch between joint names and positions'),
        (JOINTS, [Point(0.02, (0.1, 0.1))] * 2, 0.0, 'not strictly increasing'),
        (JOINTS, [Point(0.02, (0.1, 0.1))], 0.5, 'ends in the past'),
    ],
)
def test_trajectory_that_the_original_refuses_is_refused(
    names: list[str], points: list[Point], start_s: float, reason: str
) -> None:
    """And changes nothing."""
    made = controller()
    assert reason in made.accept(names, points, start_s, 1.01)
    assert made.update(1.02, AT_REST).tolist() == [0.0, 0.0]


def test_partial_trajectory_leaves_the_other_joints_where_they_are_commanded() -> None:
    """Where ``allow_partial_joints_goal`` is set; names may come in any order."""
    made = controller(allow_partial_joints_goal=True)
    made.accept(['elbow', 'waist'], [Point(0.01, (0.2, 0.1))], 0.0, 1.01)
    made.update(1.01, AT_REST)
    made.update(1.02, AT_REST)
    made.accept(['waist'], [Point(0.01, (0.3,))], 0.0, 1.03)
    made.update(1.03, AT_REST)
    assert made.update(1.04, AT_REST).tolist() == pytest.approx([0.3, 0.2])

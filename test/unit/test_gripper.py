# SPDX-License-Identifier: Apache-2.0
"""Openings of a gripper in the units in which it is measured and commanded."""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.gripper import FingerLinkage, GripperSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest

LINKAGE = FingerLinkage(horn_radius=0.0275, arm_length=0.035)  # [m] aloha_vx300s.yaml
GRIPPER = GripperSpec('left_finger', 0.04288, 0.0623, 0.6197, 1.45, 3.1, 50.0)
LINKED = replace(GRIPPER, linkage=LINKAGE)


def test_scale_may_run_downwards_and_takes_arrays() -> None:
    """A leader's joint closes at -0.7 rad and opens at -1.5 rad; half open is in the middle."""
    gripper = GripperSpec('finger', -0.7, -1.5, 0.6, 1.6, 1.0, 1.0)
    assert gripper.to_state(0.5) == pytest.approx(-1.1)
    assert gripper.opening_of_state(np.array([-0.7, -1.1, -1.5])).tolist() == pytest.approx(
        [0.0, 0.5, 1.0]
    )
    assert gripper.to_command(np.array([0.0, 0.25, 1.0])).tolist() == pytest.approx(
        [0.6, 0.85, 1.6]
    )
    assert gripper.opening_of_command(0.85) == pytest.approx(0.25)
    assert gripper.state_slope(0.3) == pytest.approx(-0.8)


def test_table_is_straight_between_its_points_and_goes_on_beyond_them() -> None:
    """Half open is 0.06 of 0.04 to 0.07: the last half moves the fingers a third of the way."""
    gripper = GripperSpec('finger', 0.04, 0.07, 0.0, 1.0, 1.0, 1.0, state_between=((0.5, 0.06),))
    openings = np.array([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5])
    metres = [0.02, 0.04, 0.05, 0.06, 0.065, 0.07, 0.08]
    assert gripper.to_state(openings).tolist() == pytest.approx(metres)
    assert gripper.opening_of_state(np.array(metres)).tolist() == pytest.approx(openings.tolist())
    assert gripper.state_slope(0.25) == pytest.approx(0.04)
    assert gripper.state_slope(0.75) == pytest.approx(0.02)
    assert gripper.to_command(0.5) == pytest.approx(0.5)


def test_table_that_runs_downwards_turns_round() -> None:
    """Closed at 1 rad and open at 0: the measured angle falls while the hand opens."""
    gripper = GripperSpec('finger', 0, 1, 1.0, 0.0, 1.0, 1.0, command_between=((0.5, 0.2),))
    assert gripper.to_command(np.array([0.0, 0.25, 0.5, 1.0])).tolist() == pytest.approx(
        [1.0, 0.6, 0.2, 0.0]
    )
    assert gripper.opening_of_command(0.6) == pytest.approx(0.25)


def test_linkage_is_that_of_the_interbotix_driver() -> None:
    """The driver's figures for aloha_vx300s and for the old vx300s [m]."""
    assert LINKAGE.finger(0.6197) == pytest.approx(0.04288, abs=1e-5)
    assert LINKAGE.finger(1.6214) == pytest.approx(0.06244, abs=1e-5)
    assert LINKAGE.finger(1.2) == pytest.approx(0.0592, abs=1e-4)
    old = FingerLinkage(horn_radius=0.022, arm_length=0.036)
    assert old.finger(1.4910) == pytest.approx(0.0579, abs=1e-4)


def test_measured_opening_of_a_linked_gripper_is_the_commanded_one() -> None:
    """One opening, whether it is read from the finger or sent to the motor."""
    assert LINKED.to_command(0.5) == pytest.approx(1.03485)
    assert LINKED.to_state(0.5) == pytest.approx(float(LINKAGE.finger(1.03485)))
    for opening in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert LINKED.opening_of_state(LINKED.to_state(opening)) == pytest.approx(opening)
    straight = GRIPPER.opening_of_state(LINKED.to_state(0.5))
    assert straight == pytest.approx(0.6603, abs=1e-4)  # what a linear scale makes of half open


def test_linked_gripper_slows_down_as_it_opens() -> None:
    """The slope is the difference of two positions; near the end the fingers hardly move."""
    step = (LINKED.to_state(0.5001) - LINKED.to_state(0.4999)) / 0.0002
    assert LINKED.state_slope(0.5) == pytest.approx(step, rel=1e-4)
    assert LINKED.state_slope(1.0) < 0.2 * LINKED.state_slope(0.0)


def test_finger_beyond_the_linkage_is_fully_open() -> None:
    """Noise past horn plus arm has no angle; it must not become NaN."""
    assert LINKAGE.motor(0.07) == pytest.approx(np.pi / 2)
    assert LINKAGE.motor(0.0) == pytest.approx(-np.pi / 2)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'state_open': 0.04288}, 'open and closed gripper must be different positions'),
        ({'command_open': 0.6197}, 'open and closed gripper must be different positions'),
        ({'state_between': ((0.5, 0.07),)}, 'with all others between them in order'),
        ({'command_between': ((0.6, 1.0), (0.4, 1.2))}, 'openings that rise between 0 and 1'),
        ({'command_between': ((1.0, 1.2),)}, 'openings that rise between 0 and 1'),
        ({'state_between': ((0.5,),)}, 'an opening and a position'),
        ({'linkage': LINKAGE, 'state_between': ((0.5, 0.05),)}, 'not both'),
        ({'linkage': LINKAGE, 'command_open': 1.6214}, r'inside of \+-pi/2'),
        ({'linkage': LINKAGE, 'state_closed': 0.0440}, 'must be 0.04288 m.*another linkage'),
        ({'driver': 'forward'}, 'driver and command_topic'),
        ({'max_effort': -1.0}, 'max_effort'),
    ],
)
def test_map_that_cannot_be_turned_round_is_refused(
    changes: dict[str, object], message: str
) -> None:
    """An opening has one position and a position one opening."""
    with pytest.raises(ConfigError, match=message):
        replace(GRIPPER, **changes)


def test_linkage_whose_bar_is_too_short_is_refused() -> None:
    """It would not reach around."""
    with pytest.raises(ConfigError, match='below arm_length'):
        FingerLinkage(horn_radius=0.036, arm_length=0.035)

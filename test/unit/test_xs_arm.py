# SPDX-License-Identifier: Apache-2.0
"""The stand-in for an Interbotix arm has the habits of the driver that matter."""

from __future__ import annotations

from cosmos_policy_ros.ros.stand_ins.xs_arm import XsArm
import numpy as np
import pytest

POSE = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.5)  # [rad] of all motors
HALF_TICK = np.pi / 4096


def make_arm(pose: tuple[float, ...] = POSE) -> XsArm:
    """Return an arm that stands at a pose, just started."""
    arm = XsArm()
    arm.measure(np.array(pose), np.zeros(7), np.zeros(7))
    arm.stay()
    return arm


def test_it_starts_as_the_mode_files_of_aloha_say() -> None:
    """Arm and gripper hold; the gripper takes metres and little current."""
    arm = make_arm()
    assert arm.mode('group', 'arm') == 'position'
    assert arm.mode('single', 'gripper') == 'linear_position'
    assert arm.read('group', 'all', 'Torque_Enable') == [1] * 7
    assert arm.read('single', 'gripper', 'Current_Limit') == [200]
    assert arm.targets(0.0).tolist() == pytest.approx(POSE)


def test_radians_in_metres_close_the_gripper_with_a_jump() -> None:
    """1.2 m are no distance of its fingers, and the vendor's library makes 0 rad of that."""
    arm = make_arm((*POSE[:6], 1.2))
    arm.command_single('gripper', 1.2, 0.0)
    assert arm.targets(0.0)[6] == 0.0


def test_metres_between_the_fingers_are_an_angle() -> None:
    """Fingers of 0.04 m each side of the middle."""
    arm = make_arm()
    arm.command_single('gripper', 0.08, 0.0)
    expected = np.pi / 2 - np.arccos((0.022**2 + 0.04**2 - 0.036**2) / (2 * 0.022 * 0.04))
    assert arm.targets(0.0)[6] == pytest.approx(expected, abs=HALF_TICK)


def test_a_goal_beyond_a_limit_is_refused_by_that_motor_alone() -> None:
    """No clamp: the shoulder stays, the others go."""
    arm = make_arm()
    arm.command_group('arm', [0.5, -2.05, 1.0, 0.0, 0.0, 0.0], 0.0)
    assert arm.targets(0.0)[:3].tolist() == pytest.approx([0.5, -0.96, 1.0], abs=HALF_TICK)


def test_the_last_goal_is_held_for_ever() -> None:
    """There is no timeout."""
    arm = make_arm()
    arm.command_group('arm', [0.5, -0.9, 1.0, 0.0, 0.0, 0.0], 0.0)
    assert arm.targets(1e6)[0] == pytest.approx(0.5, abs=HALF_TICK)


def test_a_group_command_of_another_length_is_ignored() -> None:
    """Only its log tells."""
    arm = make_arm()
    with pytest.raises(ValueError, match='6 joints, ignored 7 numbers'):
        arm.command_group('arm', [0.0] * 7, 0.0)


def test_a_failed_bus_read_is_a_message_of_minus_pi() -> None:
    """Nothing in it says so."""
    arm = make_arm()
    arm.failed_reads = 1
    names, positions, velocities, _ = arm.joint_state()
    assert names[6:] == ['gripper', 'left_finger', 'right_finger']
    assert positions[:7].tolist() == pytest.approx([-np.pi] * 7)
    assert velocities.tolist() == [0.0] * 9
    assert arm.joint_state()[1][:7].tolist() == pytest.approx(POSE)


def test_eeprom_takes_nothing_under_torque() -> None:
    """As ALOHA's scripts write the current limit."""
    arm = make_arm()
    arm.write('single', 'gripper', 'Current_Limit', 300)
    assert arm.read('single', 'gripper', 'Current_Limit') == [200]
    arm.switch_torque('single', 'gripper', on=False)
    arm.write('single', 'gripper', 'Current_Limit', 300)
    assert arm.read('single', 'gripper', 'Current_Limit') == [300]


def test_names_of_registers_are_case_sensitive() -> None:
    """Another spelling is in the driver's log only."""
    with pytest.raises(ValueError, match='no register'):
        make_arm().read('single', 'gripper', 'current_limit')


def test_a_profile_over_time_is_begun_anew_by_every_goal() -> None:
    """xsarm_control's own mode file makes an arm that is streamed to crawl."""
    arm = make_arm()
    arm.set_modes('group', 'arm', 'position', 'time', 2000, 300)
    arm.command_group('arm', [1.0, -0.96, 1.16, 0.0, -0.3, 0.0], 0.0)
    assert arm.targets(0.02)[0] == pytest.approx(0.01, abs=1e-4)
    arm.command_group('arm', [1.0, -0.96, 1.16, 0.0, -0.3, 0.0], 0.02)
    assert arm.targets(0.04)[0] == pytest.approx(0.01 + 0.99 * 0.01, abs=1e-4)


def test_a_limp_motor_goes_along_and_holds_where_torque_returns() -> None:
    """The old goal is forgotten."""
    arm = make_arm()
    arm.switch_torque('group', 'arm', on=False)
    arm.measure(np.array([0.0, -1.5, 1.16, 0.0, -0.3, 0.0, 0.5]), np.zeros(7), np.zeros(7))
    assert arm.targets(0.0)[1] == -1.5
    arm.switch_torque('group', 'arm', on=True)
    assert arm.targets(9.0)[1] == -1.5


def test_an_overloaded_motor_stays_limp_until_it_is_rebooted() -> None:
    """And a reboot forgets what is not in EEPROM."""
    arm = make_arm()
    arm.write('single', 'gripper', 'Goal_Current', 100)
    arm.fail('gripper', 32)
    arm.switch_torque('single', 'gripper', on=True)
    assert arm.read('single', 'gripper', 'Torque_Enable') == [0]
    arm.reboot('group', 'all', torque=True, only_with_error=True)
    assert arm.read('single', 'gripper', 'Torque_Enable') == [1]
    assert arm.read('single', 'gripper', 'Goal_Current') == [200]

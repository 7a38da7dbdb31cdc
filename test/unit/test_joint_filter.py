# SPDX-License-Identifier: Apache-2.0
"""JointFilter: which measured poses are believed, with simulated messages."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.control.joint_filter import JointFilter
from cosmos_policy_ros.robot import read_robot
import numpy as np
from numpy.typing import NDArray
import pytest

ARM = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml').arms[0]
MS = 1_000_000


def at(waist: float = 0.0, wrist: float = 0.0) -> NDArray[np.float32]:
    """Return a pose of two joints, the others at 0."""
    return np.array([waist, 0, 0, 0, 0, wrist, 0.5], np.float32)


class Driver:
    """Messages of an arm at a rate, in virtual time."""

    def __init__(self, rate_hz: float = 100.0) -> None:
        """Begin at time 1 s."""
        self.joints, self.now_ns = JointFilter(ARM), 1000 * MS
        self._period_ns = round(1e9 / rate_hz)

    def send(self, pose: NDArray[np.float32], n: int = 1, trusting: bool = True) -> str | None:
        """Send a pose some times and return what was said to the last."""
        for _ in range(n):
            self.now_ns += self._period_ns
            said = self.joints.add(self.now_ns, pose, trusting)
        return said

    @property
    def believed(self) -> float | None:
        """The left wrist that is believed [rad]."""
        believed = self.joints.believed
        return None if believed is None else float(believed.value[5])


def test_nothing_is_believed_before_messages_of_0_2_s_agree() -> None:
    """Neither the first message nor ten of a quick driver."""
    driver = Driver()
    driver.send(at(), 20)
    assert driver.believed is None
    assert '20 joint states; wait for 10 that agree' in driver.joints.find_unrest(0.05)
    driver.send(at())
    assert driver.believed == 0.0
    assert driver.joints.find_unrest(0.05) == ''


def test_one_wrong_message_is_not_believed_and_blocks_enabling_until_a_good_one() -> None:
    """The last message before enabling decides nothing."""
    driver = Driver()
    driver.send(at(), 30)
    assert 'wrist_rotate jumped -3.14 rad' in (driver.send(at(wrist=-np.pi)) or '')
    assert driver.believed == 0.0
    assert 'do not agree' in driver.joints.find_unrest(0.05)
    driver.send(at(), 21)
    assert driver.joints.find_unrest(0.05) == ''


@pytest.mark.parametrize('seconds', [0.5, 3.0, 60.0])
def test_wrong_joint_is_never_believed_while_commands_are_sent(seconds: float) -> None:
    """However long it is said; the believed pose grows old instead."""
    driver = Driver()
    driver.send(at(), 30)
    said = driver.send(at(wrist=-np.pi), round(seconds * 100), trusting=False)
    assert 'wrist_rotate jumped -3.14 rad in 100 ms' in (said or '')
    assert driver.believed == 0.0


def test_shifted_values_are_not_believed_while_commands_are_sent() -> None:
    """Every joint shows the angle of its neighbour."""
    driver = Driver()
    pose = np.array([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.5], np.float32)
    driver.send(pose, 30)
    assert 'jumped' in (driver.send(np.roll(pose, 1), 500, trusting=False) or '')
    believed = driver.joints.believed
    assert believed is not None
    assert believed.value.tolist() == pose.tolist()


def test_arm_that_was_moved_is_believed_after_0_2_s_while_nothing_is_sent() -> None:
    """A scene that is reset, or a person who moves a free arm while no driver runs."""
    driver = Driver()
    driver.send(at(), 30)
    driver.send(at(wrist=2.0), 20)
    assert driver.believed == 0.0
    driver.send(at(wrist=2.0))
    assert driver.believed == 2.0


def test_quick_motion_is_believed_at_once() -> None:
    """3.1 rad/s at 100 Hz, with three messages lost on the way."""
    driver, wrist = Driver(), 0.0
    driver.send(at(), 30)
    for k in range(1, 60):
        wrist = 0.031 * k
        if k not in (20, 21, 22):
            assert driver.send(at(wrist=wrist), trusting=False) is None
        else:
            driver.now_ns += 10 * MS
    assert driver.believed == pytest.approx(wrist)


def test_moving_arm_is_not_at_rest() -> None:
    """0.1 rad/s is told, with the joint; the noise of an encoder is not."""
    driver = Driver()
    for k in range(60):
        driver.send(at(waist=0.0015 * (k % 2)))
    assert driver.joints.find_unrest(0.05) == ''
    for k in range(60):
        driver.send(at(waist=0.001 * k))
    assert 'waist moves; keep the arm still' in driver.joints.find_unrest(0.05)


def test_slow_joint_states_are_told() -> None:
    """At 10 Hz they would be too old in every other tick."""
    driver = Driver(10.0)
    driver.send(at(), 12)
    assert 'comes at 10 Hz, at least 20 are needed' in driver.joints.find_unrest(0.05)


def test_clock_that_was_set_back_is_taken_while_nothing_is_sent_only() -> None:
    """The messages before it count for nothing then."""
    driver = Driver()
    driver.send(at(), 30)
    driver.now_ns -= 60_000 * MS
    assert 'not newer' in (driver.send(at(), trusting=False) or '')
    driver.send(at(wrist=1.0), 21)
    assert driver.believed == 1.0


def test_failed_bus_read_is_dropped() -> None:
    """All joints at -pi, even before anything is believed, and however often."""
    driver = Driver()
    assert 'failed bus read' in (driver.send(np.full(7, -np.pi, np.float32), 100) or '')
    assert driver.believed is None


def test_leaders_are_believed_anywhere_after_a_while() -> None:
    """With no limit of the time any motion at full speed is possible."""
    joints = JointFilter(ARM, np.inf)
    for k in range(30):
        joints.add(10 * MS * k, at(), False)
    assert joints.add(1500 * MS, at(wrist=2.0), False) is None


def test_last_joint_of_an_arm_without_a_gripper_counts() -> None:
    """Messages that disagree about it are not believed."""
    arm = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'ur5e.yaml').arms[0]
    joints = JointFilter(arm)
    for i in range(40):
        joints.add(
            (1000 + 10 * i) * MS, np.array([0, 0, 0, 0, 0, 0.1 * (i % 2)], np.float32), True
        )
    assert joints.believed is None

# SPDX-License-Identifier: Apache-2.0
"""Followers wait for closed grippers, come slowly, then follow; and never leave their limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cosmos_policy_ros.align import arm_pose
from cosmos_policy_ros.control.teleop import Teleop
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import leader_robot, read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError
from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

SIM = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
ALOHA = read_robot(share_path('config', 'robots', 'aloha.yaml'))
TICK_NS = 20_000_000
START = ALOHA.start


class Message:
    """A joint state as ``align.py`` reads it."""

    def __init__(self, **positions: float) -> None:
        """Take joint names with their positions [rad]."""
        self.name, self.position = list(positions), list(positions.values())


class Arms:
    """Followers that do at once what they are told."""

    def __init__(self, robot: RobotSpec = ALOHA) -> None:
        """Enable from the start pose."""
        self.teleop = Teleop(robot, approach_speed=0.5)
        self.pose, self.now_ns = robot.start.copy(), 0
        self.teleop.enable(self.pose, 0.0, 0)

    def tick(self, leaders: NDArray[np.float32] | None, age_s: float = 0.0) -> str:
        """Let one period pass and return the status of the command."""
        self.now_ns += TICK_NS
        self.teleop.lead(leaders, age_s)
        command = self.teleop.tick(self.pose, 0.0, self.now_ns)
        assert command is not None
        self.pose = command.positions
        return command.status

    def follow(self, leaders: NDArray[np.float32]) -> None:
        """Close the grippers, go to the leaders and follow them."""
        for _ in range(500):
            self.tick(leaders)
            if self.teleop.phase == 'following':
                return
        pytest.fail('the followers do not arrive')


def moved(waist: float, gripper: float = 0.0) -> NDArray[np.float32]:
    """Return the start pose with another left waist [rad] and both grippers at an opening."""
    pose = START.copy()
    pose[0], pose[[6, 13]] = waist, gripper
    return pose


def test_nothing_is_sent_before_enabling() -> None:
    """Leaders alone move nothing."""
    teleop = Teleop(ALOHA)
    teleop.lead(moved(0.5), 0.0)
    assert teleop.tick(START, 0.0, TICK_NS) is None


def test_open_leader_grippers_hold() -> None:
    """The reason names the arms; closing one is not enough."""
    arms = Arms()
    assert arms.tick(moved(0.5, gripper=0.5)) == 'hold'
    assert 'close the leader grippers of' in arms.teleop.reason
    one = moved(0.5)
    one[13] = 0.5
    assert arms.tick(one) == 'hold'
    assert arms.teleop.reason == "close the leader grippers of ['follower_right'] to start"
    np.testing.assert_array_equal(arms.pose, START)


def test_followers_come_slowly() -> None:
    """0.5 rad at 0.5 rad/s takes a second, 50 ticks."""
    arms, steps, before = Arms(), [], START[0]
    while arms.teleop.phase != 'following':
        arms.tick(moved(0.5))
        steps.append(abs(arms.pose[0] - before))
        before = arms.pose[0]
    assert len(steps) == pytest.approx(50, abs=2)
    assert max(steps) <= 0.0125  # the lag of the start is made up for


def test_a_followed_leader_is_met_without_delay() -> None:
    """A slow motion passes unchanged, and grippers may open now."""
    arms = Arms()
    arms.follow(moved(0.0))
    for k in range(20):
        status = arms.tick(moved(0.001 * k, gripper=0.01 * k))
    assert status == 'ok'
    np.testing.assert_allclose(arms.pose, moved(0.019, gripper=0.19), atol=1e-5)


def test_a_stale_leader_holds_with_the_reason() -> None:
    """And the followers approach again, without jumping to where it is by then."""
    arms = Arms()
    arms.follow(moved(0.2))
    assert arms.tick(moved(0.2), age_s=0.24) == 'hold'
    assert arms.teleop.reason == 'leader joint states are 240 ms old, limit 100 ms'
    held = arms.pose.copy()
    arms.tick(moved(1.0, gripper=0.5))
    assert arms.teleop.phase == 'approaching'
    assert abs(arms.pose - held).max() <= 0.0101


def test_leaders_that_come_back_after_long_are_not_followed_before_grippers_close() -> None:
    """Their driver was started again, and nobody may be at them."""
    arms = Arms()
    arms.follow(moved(0.1))
    assert arms.tick(moved(0.1), 2.1) == 'hold'
    assert [arms.tick(moved(0.5, gripper=0.5)) for _ in range(50)] == ['hold'] * 50
    assert 'close the leader grippers of' in arms.teleop.reason
    arms.follow(moved(0.5))


def test_missing_leaders_hold() -> None:
    """Nothing is made up."""
    arms = Arms()
    assert arms.tick(None, float('inf')) == 'hold'
    assert arms.teleop.reason.startswith('leader joint states are missing')


def test_enabling_again_waits_for_closed_grippers_again() -> None:
    """A restart never moves anything."""
    arms = Arms()
    arms.follow(moved(0.1))
    arms.teleop.disable()
    arms.teleop.enable(arms.pose, 0.0, arms.now_ns)
    assert arms.tick(moved(0.3, gripper=0.4)) == 'hold'
    assert arms.teleop.phase == 'waiting'


@settings(max_examples=30)
@given(
    rows=st.lists(
        st.tuples(st.lists(st.floats(-7, 7), min_size=14, max_size=14), st.floats(0, 0.2)),
        min_size=1,
        max_size=30,
    ),
    close_first=st.booleans(),
)
def test_commands_never_leave_range_and_speed(
    rows: list[tuple[list[float], float]], close_first: bool
) -> None:
    """Whatever the leaders do, fresh or stale."""
    arms = Arms()
    if close_first:
        arms.follow(moved(0.05))
    for leaders, age_s in rows:
        before = arms.pose
        arms.tick(np.array(leaders, dtype=np.float32), age_s)
        assert (arms.pose >= ALOHA.lower - 1e-6).all()
        assert (arms.pose <= ALOHA.upper + 1e-6).all()
        assert (np.abs(arms.pose - before) <= ALOHA.max_speed * 0.02 + 1e-5).all()


def test_leader_angles_become_follower_units() -> None:
    """Joint angles as they are, the gripper joint from its closed to its open angle."""
    left = leader_robot(ALOHA).arms[0]
    joints = dict.fromkeys(left.joints, 0.1)
    np.testing.assert_allclose(arm_pose(left, Message(**joints, gripper=0.8298)), [0.1] * 6 + [1])
    closed = arm_pose(left, Message(**joints, gripper=-0.0552))
    assert closed[-1] == pytest.approx(0.0, abs=1e-6)


def test_grippers_count_as_closed_below_0_rad() -> None:
    """Interbotix' threshold for its leader gripper joint."""
    just_open = (0.001 + 0.0552) / (0.8298 + 0.0552)
    just_closed = (-0.001 + 0.0552) / (0.8298 + 0.0552)
    assert Arms().tick(moved(0.0, gripper=just_open)) == 'hold'
    assert Arms().tick(moved(0.0, gripper=just_closed)) != 'hold'


def test_a_robot_without_leaders_is_refused() -> None:
    """The arms are named."""
    with pytest.raises(ConfigError, match=r"\['follower_left', 'follower_right'\] have no leader"):
        leader_robot(replace(SIM, arms=tuple(replace(arm, leader=None) for arm in SIM.arms)))


def test_a_leader_of_another_size_is_refused(tmp_path: Path) -> None:
    """Its joints are matched by their order."""
    text = share_path('config', 'robots', 'aloha.yaml').read_text(encoding='utf-8')
    head, leader, tail = text.partition('    leader:')
    file = tmp_path / 'robot.yaml'
    file.write_text(head + leader + tail.replace('[waist, ', '[', 1), encoding='utf-8')
    with pytest.raises(ConfigError, match='leader has 5 joints for 6 of the arm'):
        read_robot(file)

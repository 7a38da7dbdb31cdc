# SPDX-License-Identifier: Apache-2.0
"""A person takes over from a policy and gives back, without a jump and within all limits."""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.control.safety import WatchdogLimits
from cosmos_policy_ros.control.takeover import Takeover
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import following_leaders, leader_robot, read_robot
from cosmos_policy_ros.types import ActionChunk, ConfigError
from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

ROBOT = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
ALOHA = read_robot(share_path('config', 'robots', 'aloha.yaml'))
TICK_NS = 20_000_000
START = ROBOT.start


class Stack:
    """Arms that do at once what they are told, a policy that goes its way, and a person."""

    def __init__(self) -> None:
        """Enable at the start pose, with the leaders there too."""
        playback = Playback(ROBOT, watchdog=WatchdogLimits(resume_s=0.0))
        self.takeover = Takeover(ROBOT, playback)
        self.pose, self.now_ns = START.copy(), 1_000_000_000
        self.leaders, self.leader_age_s = START.copy(), 0.0
        self.takeover.enable(self.pose, 0.0, self.now_ns)

    def tick(self, hold_reason: str = '') -> str:
        """Let one period pass and return the status of the command."""
        self.now_ns += TICK_NS
        self.takeover.lead(self.leaders, self.leader_age_s)
        command = self.takeover.tick(self.pose, 0.0, self.now_ns, 1, hold_reason)
        assert command is not None
        self.pose = command.positions
        return command.status

    def chunk(self, waist: float, stamp_ns: int | None = None) -> None:
        """Send a chunk that rests at an angle of the left waist [rad]."""
        rows = np.tile(moved(waist), (16, 1))
        self.takeover.add(ActionChunk(stamp_ns or self.now_ns, rows, 12.5), self.now_ns)

    def act(self) -> None:
        """Let the policy move the left waist to 0.1 rad."""
        self.chunk(0.1)
        for _ in range(60):
            self.tick()
        assert self.pose[0] == pytest.approx(0.1, abs=1e-3)

    def take_over(self) -> None:
        """Take over with leaders where the followers are, and follow."""
        self.leaders = self.pose.copy()
        self.takeover.lead(self.leaders, 0.0)
        self.takeover.take_over()
        for _ in range(3):
            self.tick()
        assert self.takeover.intervenes


def moved(waist: float) -> NDArray[np.float32]:
    """Return the start pose with another left waist [rad]."""
    pose = START.copy()
    pose[0] = waist
    return pose


def test_a_policy_acts_as_without_a_takeover() -> None:
    """Nobody intervenes, wherever the leaders are."""
    stack = Stack()
    stack.leaders = moved(1.0)
    stack.act()
    assert (stack.takeover.led_by, stack.takeover.intervenes) == ('policy', False)


def test_leaders_that_are_far_away_are_refused_by_joint_and_distance() -> None:
    """And the policy acts on."""
    stack = Stack()
    stack.act()
    stack.leaders = moved(0.1)
    stack.leaders[9] += 0.35
    stack.takeover.lead(stack.leaders, 0.0)
    with pytest.raises(ValueError, match=r'0\.35 rad from follower_right/elbow, limit 0\.2'):
        stack.takeover.take_over()
    assert stack.takeover.led_by == 'policy'
    assert stack.tick() == 'ok'


def test_an_open_hand_cannot_drop_what_the_policy_holds() -> None:
    """A leader gripper counts like a joint."""
    stack = Stack()
    stack.leaders[6] = 0.9
    stack.takeover.lead(stack.leaders, 0.0)
    with pytest.raises(ValueError, match=r'0\.80 of its opening from follower_left/gripper'):
        stack.takeover.take_over()


def test_stale_or_unknown_leaders_do_not_take_over() -> None:
    """Nor do those with a NaN."""
    stack = Stack()
    stack.takeover.lead(START, 0.24)
    with pytest.raises(ValueError, match='240 ms old'):
        stack.takeover.take_over()
    stack.takeover.lead(None, float('inf'))
    with pytest.raises(ValueError, match='missing'):
        stack.takeover.take_over()
    stack.takeover.lead(np.full(14, np.nan, np.float32), 0.0)
    with pytest.raises(ValueError, match='not finite'):
        stack.takeover.take_over()


def test_nobody_takes_over_disabled_arms() -> None:
    """A leader enables nothing."""
    stack = Stack()
    stack.takeover.disable()
    stack.takeover.lead(START, 0.0)
    with pytest.raises(ValueError, match='not enabled'):
        stack.takeover.take_over()


def test_a_person_takes_over_in_motion_without_a_jump() -> None:
    """The followers come to leaders 0.15 rad away at 0.5 rad/s, and then follow."""
    stack = Stack()
    stack.act()
    stack.leaders = stack.pose.copy()
    stack.leaders[0] += 0.15
    stack.takeover.lead(stack.leaders, 0.0)
    stack.takeover.take_over()
    steps, before = [], stack.pose[0]
    while not stack.takeover.intervenes:
        assert stack.tick() in ('ok', 'limited')
        steps.append(abs(stack.pose[0] - before))
        before = stack.pose[0]
        assert len(steps) < 40
    assert max(steps) <= 0.0125  # the lag of the start is made up for
    assert stack.pose[0] == pytest.approx(0.25, abs=0.011)


def test_chunks_do_not_move_what_a_person_leads() -> None:
    """They are refused, and forgotten for good."""
    stack = Stack()
    stack.act()
    stack.take_over()
    with pytest.raises(ValueError, match='a person has taken over'):
        stack.chunk(0.3)
    stack.tick()
    assert stack.pose[0] == pytest.approx(0.1, abs=1e-3)


def test_a_stale_leader_holds_and_a_returning_one_is_approached_slowly() -> None:
    """One that has been moved farther than the limit meanwhile is not approached at all."""
    stack = Stack()
    stack.act()
    stack.take_over()
    stack.leader_age_s = 0.3
    assert stack.tick() == 'hold'
    assert not stack.takeover.intervenes
    stack.leader_age_s, stack.leaders[0] = 0.0, 0.5
    held = stack.pose.copy()
    assert [stack.tick() for _ in range(30)] == ['hold'] * 30
    assert '0.40 rad from follower_left/waist' in stack.takeover.reason
    np.testing.assert_array_equal(stack.pose, held)
    stack.leaders[0] = 0.2
    stack.tick()
    assert stack.takeover.reason == 'approaching the leaders'
    assert abs(stack.pose - held).max() <= 0.0101


def test_after_giving_back_only_a_chunk_observed_since_moves_the_arms() -> None:
    """The pose that the person left is kept until then, and left slowly."""
    stack = Stack()
    stack.act()
    stack.take_over()
    asked_before_ns = stack.now_ns
    for k in range(25):
        stack.leaders[0] = 0.1 + 0.004 * k
        stack.tick()
    stack.takeover.give_back(stack.now_ns)
    assert [stack.tick() for _ in range(10)] == ['hold'] * 10
    left = stack.pose.copy()
    with pytest.raises(ValueError, match='before the start or the end of a hold'):
        stack.chunk(0.0, asked_before_ns)
    assert stack.tick() == 'hold'
    np.testing.assert_array_equal(stack.pose, left)
    stack.chunk(0.1)
    steps, before = [], stack.pose[0]
    for _ in range(60):
        stack.tick()
        steps.append(abs(stack.pose[0] - before))
        before = stack.pose[0]
    assert stack.pose[0] == pytest.approx(0.1, abs=1e-3)
    assert max(steps) <= 0.0125
    assert stack.takeover.led_by == 'policy'


def test_all_stand_while_leaders_are_let_go() -> None:
    """Neither the running chunk nor the leaders move the arms then."""
    stack = Stack()
    stack.act()
    stack.leaders = stack.pose.copy()
    stack.takeover.lead(stack.leaders, 0.0)
    stack.takeover.take_over('the leaders are being let go')
    stack.leaders[0] += 0.1
    assert [stack.tick() for _ in range(20)] == ['hold'] * 20
    assert stack.takeover.reason == 'the leaders are being let go'
    assert not stack.takeover.intervenes
    stack.takeover.pause = ''
    assert stack.tick() == 'ok'


def test_an_emergency_stop_beats_the_person_and_ends_the_takeover() -> None:
    """Enabling again is the policy's, with new chunks only."""
    stack = Stack()
    stack.act()
    stack.take_over()
    stack.leaders[0] = 0.2
    stack.takeover.safety.stop()
    assert [stack.tick() for _ in range(5)] == ['fault'] * 5
    assert (stack.takeover.led_by, stack.takeover.intervenes) == ('policy', False)
    assert stack.takeover.reason == 'emergency stop'
    with pytest.raises(ValueError, match='not enabled'):
        stack.takeover.take_over()
    stack.takeover.disable()
    stack.takeover.safety.reset()
    stack.takeover.enable(stack.pose, 0.0, stack.now_ns)
    assert stack.tick() == 'hold'
    assert stack.takeover.led_by == 'policy'


@settings(max_examples=30)
@given(
    rows=st.lists(
        st.tuples(
            st.lists(st.floats(-0.4, 0.4), min_size=14, max_size=14),
            st.floats(0, 0.2),
            st.sampled_from(['', 'take', 'give', 'chunk']),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_whoever_leads_commands_keep_range_and_speed(
    rows: list[tuple[list[float], float, str]],
) -> None:
    """Whatever leaders, policy and person do, in any order."""
    stack = Stack()
    for offsets, age_s, what in rows:
        stack.leaders = (stack.pose + np.array(offsets)).astype(np.float32)
        stack.leader_age_s = age_s
        stack.takeover.lead(stack.leaders, age_s)
        before = stack.pose.copy()
        try:
            if what == 'take':
                stack.takeover.take_over()
            elif what == 'chunk':
                stack.chunk(float(offsets[0]))
        except ValueError:
            pass
        if what == 'give':
            stack.takeover.give_back(stack.now_ns)
        stack.tick()
        assert (stack.pose >= ROBOT.lower).all()
        assert (stack.pose <= ROBOT.upper).all()
        assert (np.abs(stack.pose - before) <= ROBOT.max_speed * 0.02 + 1e-5).all()


def test_leaders_with_a_driver_are_a_robot_of_arm_joints_at_a_speed_of_their_own() -> None:
    """Grippers stay free in the hand; leaders of topics alone are moved by hands alone."""
    moved = following_leaders(ALOHA, 0.8)
    assert moved is not None
    assert [(arm.driver, arm.command_topic) for arm in moved.arms] == [
        ('interbotix', '/leader_left'),
        ('interbotix', '/leader_right'),
    ]
    assert moved.size == 12
    np.testing.assert_allclose(moved.max_speed, 0.8)
    assert [arm.joint_state_topic for arm in moved.arms] == [
        arm.joint_state_topic for arm in leader_robot(ALOHA).arms
    ]
    assert following_leaders(ROBOT, 0.8) is None


def test_some_leaders_with_a_driver_are_a_mistake() -> None:
    """One would follow and the other not."""
    left, right = ALOHA.arms
    assert right.leader is not None
    bare = replace(right.leader, driver='', command_topic='')
    robot = replace(ALOHA, arms=(left, replace(right, leader=bare)))
    with pytest.raises(ConfigError, match='to all or to none'):
        following_leaders(robot, 0.8)

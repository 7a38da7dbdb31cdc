# SPDX-License-Identifier: Apache-2.0
"""Safety: what must hold for every input, and which input leads to which state."""

from __future__ import annotations

from pathlib import Path
import time

from cosmos_policy_ros.control.safety import Limits, Safety, WatchdogLimits
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import JointCommand
from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

ROBOT = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
TICK_NS = 20_000_000
TICK_S = 0.02
Vector = NDArray[np.float32]


def vector(*numbers: float) -> Vector:
    """Return a float32 vector."""
    return np.array(numbers, dtype=np.float32)


LIMITS = Limits(
    names=('arm/quick', 'arm/slow', 'arm/gripper'),
    lower=vector(-1.0, -1.0, 0.0),
    upper=vector(1.0, 1.5, 1.0),
    max_speed=vector(3.0, 1.0, 8.0),
    max_acceleration=vector(60.0, 2.0, 200.0),  # `slow` needs 25 ticks to stop
    arm_joints=np.array([True, True, False]),
    rate_hz=50.0,
)
HOME = vector(0.0, 0.0, 0.5)


def enabled(
    start: Vector = HOME, limits: Limits = LIMITS, watchdog: WatchdogLimits | None = None
) -> Safety:
    """Return an enabled safety that stands at ``start``."""
    safety = Safety(limits, watchdog)
    safety.enable(start, 0.0)
    return safety


def trembling(pose: Vector, tick: int) -> Vector:
    """Return a pose with the noise of an encoder, which is never the same twice."""
    return pose + np.float32(1e-4 * (tick % 2))


class Runner:
    """Ticks a safety whose arms follow perfectly."""

    def __init__(self, safety: Safety, start: Vector = HOME) -> None:
        """Begin at ``start`` at time 0."""
        self.safety, self.at, self.now_ns = safety, start, 0

    def step(self, target: Vector | None, ticks: int = 1) -> JointCommand:
        """Return the last command of some ticks."""
        for _ in range(ticks):
            self.now_ns += TICK_NS
            command = self.safety.step(target, self.at, 0.0, self.now_ns)
            assert command is not None
            self.at = command.positions
        return command


def test_nothing_is_sent_before_enabling() -> None:
    """A restarted executor is disabled and silent."""
    safety = Safety(LIMITS)
    assert safety.state == 'disabled'
    assert safety.step(HOME, HOME, 0.0, 0) is None


def test_enabling_starts_from_the_measured_pose() -> None:
    """The first command is where the arms are, whatever was commanded before."""
    safety = enabled(vector(0.3, -0.4, 0.2))
    command = safety.step(None, HOME, 0.0, 0)
    assert command is not None
    assert command.status == 'hold'
    assert command.positions.tolist() == vector(0.3, -0.4, 0.2).tolist()


@pytest.mark.parametrize(
    ('measured', 'age_s', 'reason'),
    [
        (None, 0.0, 'missing'),
        (HOME, 0.2, '200 ms old, limit 100 ms'),
        (HOME, float('nan'), 'joint states are'),
        (vector(0.0, float('nan'), 0.0), 0.0, '3 finite numbers'),
        (vector(0.0, 0.0), 0.0, '3 finite numbers'),
        (vector(-1.2, 0.0, 0.0), 0.0, 'arm/quick is at -1.200 rad'),
    ],
)
def test_enabling_needs_a_fresh_pose_inside_the_range(
    measured: Vector | None, age_s: float, reason: str
) -> None:
    """The refusal says why, and nothing is sent after it."""
    safety = Safety(LIMITS)
    with pytest.raises(ValueError, match=reason):
        safety.enable(measured, age_s)
    assert safety.step(HOME, HOME, 0.0, 0) is None


def test_entry_is_next_to_an_arm_outside_of_its_range_and_a_bit_inside() -> None:
    """Joints that are inside stay; a gripper has no range that it must enter."""
    entry = Safety(LIMITS).find_entry(vector(-1.2, 0.3, 1.3))
    assert entry is not None
    assert entry.tolist() == pytest.approx([-0.98, 0.3, 1.0])


def test_arms_that_can_be_enabled_need_no_entry() -> None:
    """A joint may be as far outside as enabling allows."""
    assert Safety(LIMITS).find_entry(vector(-1.04, 0.3, 1.3)) is None


def test_gripper_beyond_its_scale_does_not_block_enabling() -> None:
    """State and command grippers are on different scales; the command starts inside."""
    command = enabled(vector(0.0, 0.0, 1.3)).step(None, HOME, 0.0, 0)
    assert command is not None
    assert command.positions[2] == 1.0


def test_feasible_target_passes_unchanged_and_without_delay() -> None:
    """A smooth motion inside all limits is not touched at all."""
    run = Runner(enabled())
    for k in range(1, 400):
        phase = 1.0 - np.cos(0.02 * k)
        target = vector(0.45 * phase, 0.45 * phase, 0.5 - 0.2 * phase)
        command = run.step(target)
        assert command.status == 'ok'
        assert command.positions.tolist() == target.tolist()
    assert run.safety.interventions == 0
    assert run.safety.reason == ''


def test_target_out_of_reach_is_limited_and_counted() -> None:
    """The reason names a joint."""
    run = Runner(enabled())
    assert run.step(vector(0.9, 0.0, 0.5)).status == 'limited'
    assert run.safety.interventions == 1
    assert 'arm/quick' in run.safety.reason


def test_interventions_are_counted_by_their_reason_until_enabled_again() -> None:
    """The joint that stays farthest from its target, or that the arms held."""
    run = Runner(enabled())
    run.step(vector(0.9, 0.0, 0.5), ticks=2)
    run.step(vector(0.9, 0.9, 0.5))
    run.safety.step(HOME, None, 0.0, run.now_ns + TICK_NS)
    run.safety.step(None, HOME, 0.0, run.now_ns + 2 * TICK_NS)  # nothing was wanted
    reasons = {'arm/quick is limited': 2, 'arm/slow is limited': 1, 'hold': 1}
    assert run.safety.intervention_reasons == reasons
    assert run.safety.interventions == 4
    run.safety.disable()
    run.safety.enable(HOME, 0.0)
    assert run.safety.intervention_reasons == {}


def test_target_outside_the_range_ends_at_the_range() -> None:
    """The range is never left, and the rest of the motion goes on."""
    command = Runner(enabled()).step(vector(5.0, -5.0, 7.0), ticks=200)
    assert command.status == 'limited'
    assert command.positions.tolist() == [1.0, -1.0, 1.0]


@pytest.mark.parametrize('way', [1.0, -1.0])
def test_target_that_runs_out_of_the_range_is_left_in_time_to_brake(way: float) -> None:
    """A joint followed at full speed to the end of its range slows down before it."""
    run = Runner(enabled(vector(0.0, 0.25, 0.5)), vector(0.0, 0.25, 0.5))
    at = [run.step(vector(0.0, 0.25 + way * 0.0004 * k * k, 0.5)).positions[1] for k in range(25)]
    at += [
        run.step(vector(0.0, 0.25 + way * (0.25 + 0.0196 * k), 0.5)).positions[1]
        for k in range(99)
    ]
    assert at[-1] == (1.5 if way > 0 else -1.0)
    assert np.abs(np.diff(at, 2)).max() <= 2.0 * TICK_S**2 + 1e-6


def test_moving_target_is_caught_up_with() -> None:
    """After a standing start the lag goes to zero although braking takes 25 ticks."""
    run = Runner(enabled(vector(0.0, -1.0, 0.5)), vector(0.0, -1.0, 0.5))
    statuses = [run.step(vector(0.0, -1.0 + 0.01 * k, 0.5)).status for k in range(1, 150)]
    assert statuses[0] == 'limited'
    assert statuses[-40:] == ['ok'] * 40


def test_missing_target_brakes_within_the_limits_and_then_holds() -> None:
    """Holding is no hard stop: the slow joint needs its 25 ticks."""
    run = Runner(enabled())
    before = run.step(vector(0.0, 1.5, 0.5), ticks=20).positions
    first = run.step(None)
    assert first.status == 'hold'
    assert first.positions[1] > before[1]
    rest = run.step(None, ticks=30).positions
    assert run.step(None, ticks=10).positions.tolist() == rest.tolist()


def test_stale_joint_states_hold_and_fresh_ones_go_on() -> None:
    """Within one control period, with the age in the reason, and without a fault."""
    safety = enabled()
    held = safety.step(vector(0.5, 0.0, 0.5), HOME, 0.15, TICK_NS)
    assert held is not None
    assert held.status == 'hold'
    assert held.positions.tolist() == HOME.tolist()
    assert safety.reason == 'joint states are 150 ms old, limit 100 ms'
    statuses = []
    for k in range(2, 13):
        moving = safety.step(vector(0.5, 0.0, 0.5), HOME, 0.01, k * TICK_NS)
        assert moving is not None
        statuses.append(moving.status)
    assert statuses == ['hold'] * 9 + ['limited'] * 2


def test_slow_joint_states_hold_instead_of_chattering() -> None:
    """At 8 Hz every seventh tick finds them too old; the arms stand still all the time."""
    safety = enabled()
    statuses = []
    for k in range(1, 101):
        age_s = 0.02 * (k % 6 + 1)
        command = safety.step(vector(0.5, 0.0, 0.5), safety.pose, age_s, k * TICK_NS)
        assert command is not None
        statuses.append(command.status)
    assert statuses[10:] == ['hold'] * 90


def test_joint_states_gone_for_long_are_a_fault() -> None:
    """A dead driver does not resume by itself."""
    safety = enabled()
    command = safety.step(HOME, HOME, 2.5, TICK_NS)
    assert command is not None
    assert command.status == 'fault'
    assert safety.reason == 'no joint states for 2.5 s; check the arm drivers'


@pytest.mark.parametrize(
    'target',
    [vector(0.0, float('nan'), 0.0), vector(float('inf'), 0.0, 0.0), vector(0.0, 0.0), vector()],
)
def test_bad_target_is_a_latched_fault(target: Vector) -> None:
    """Good targets do not lift it; enabling does."""
    run = Runner(enabled())
    run.step(HOME)
    assert run.step(target).status == 'fault'
    assert '3 finite numbers' in run.safety.reason
    assert run.step(vector(0.1, 0.0, 0.5), ticks=5).positions.tolist() == HOME.tolist()
    assert run.safety.state == 'fault'
    run.safety.enable(HOME, 0.0)
    assert run.safety.state == 'enabled'
    assert run.step(vector(0.01, 0.0, 0.5)).status == 'ok'
    assert run.safety.interventions == 0


def test_arm_that_does_not_follow_is_a_fault() -> None:
    """An obstacle or a motor without torque; the message names joint, gap and limit."""
    safety = enabled()
    command = None
    for k in range(1, 60):
        command = safety.step(vector(0.9, 0.0, 0.5), trembling(HOME, k), 0.0, k * TICK_NS)
    assert command is not None
    assert command.status == 'fault'
    assert 'arm/quick' in safety.reason
    assert 'limit 0.15' in safety.reason


@pytest.mark.parametrize(
    ('speed', 'most_ticks', 'most_rad'), [(0.1, 110, 0.22), (0.5, 30, 0.3), (3.0, 10, 0.55)]
)
def test_blocked_joint_is_a_fault_before_it_presses_far(
    speed: float, most_ticks: int, most_rad: float
) -> None:
    """Time and distance count together, and afterwards the command is back at the arm."""
    safety, farthest, faulted = enabled(), 0.0, 0
    for k in range(1, 200):
        target = vector(min(speed * TICK_S * k, 1.0), 0.0, 0.5)
        command = safety.step(target, trembling(HOME, k), 0.0, k * TICK_NS)
        assert command is not None
        farthest = max(farthest, float(command.positions[0]))
        faulted += command.status != 'fault'
    assert faulted <= most_ticks
    assert farthest <= most_rad
    assert command.positions[0] == pytest.approx(0.05, abs=1e-3)


def test_arm_that_lags_for_a_moment_is_no_fault() -> None:
    """Five ticks of 0.25 rad, then the arm is there, then five more."""
    safety = enabled(vector(0.25, 0.0, 0.5))
    for k in range(1, 100):
        measured = vector(0.25 if k % 10 < 5 else 0.0, 0.0, 0.5)
        command = safety.step(vector(0.25, 0.0, 0.5), measured, 0.0, k * TICK_NS)
        assert command is not None
        assert command.status == 'ok'


def test_frozen_joint_states_hold_while_the_command_moves() -> None:
    """0.5 rad/s are blind for 0.3 s and 0.15 rad; a change goes on after 0.2 s."""
    safety, statuses = enabled(), []
    for k in range(1, 61):
        target = vector(0.01 * k, 0.0, 0.5)
        measured = HOME if k < 41 else trembling(HOME, k)
        command = safety.step(target, measured, 0.0, k * TICK_NS)
        assert command is not None
        statuses.append(command.status)
        assert command.positions[0] < 0.15 or k > 49
        if k == 40:
            assert safety.reason == (
                'joint states from arm/quick on do not change while the arm is to move'
            )
    assert statuses[:12] == ['ok'] * 12
    assert statuses[14:49] == ['hold'] * 35
    assert statuses[50] == 'limited'


def test_late_joint_states_are_not_frozen_ones() -> None:
    """0.4 s without a new measurement pass where the age of joint states may be 0.5 s."""
    safety = enabled(watchdog=WatchdogLimits(max_joint_age_s=0.5, max_gap_area=1.0))
    for k in range(1, 41):
        late = 1 <= k <= 20
        measured = HOME if late else trembling(HOME, k)
        target = vector(0.01 * k, 0.0, 0.5)
        command = safety.step(target, measured, k * TICK_S if late else 0.0, k * TICK_NS)
        assert command is not None
        assert command.status == 'ok'


def test_standing_arm_may_send_the_same_joint_states_for_ever() -> None:
    """Without noise nothing changes while nothing moves."""
    safety = enabled()
    for k in range(1, 500):
        command = safety.step(vector(0.04, 0.0, 0.5), HOME, 0.0, k * TICK_NS)
    assert command is not None
    assert command.status == 'ok'


@pytest.mark.parametrize('state', ['hold', 'fault'])
def test_a_kept_pose_does_not_press(state: str) -> None:
    """A command 0.14 rad beyond what blocks the arm comes back to 0.05 rad within 0.2 s."""
    safety = enabled(vector(0.0, 0.0, 0.5))
    for k in range(1, 15):
        safety.step(vector(0.01 * k, 0.0, 0.5), trembling(HOME, k), 0.0, k * TICK_NS)
    if state == 'fault':
        safety.stop()
    for k in range(15, 25):
        command = safety.step(None, trembling(HOME, k), 0.0, k * TICK_NS)
    assert command is not None
    assert command.status == state
    assert command.positions[0] == pytest.approx(0.05, abs=1e-3)


def test_arm_that_pressed_far_is_let_go_slowly() -> None:
    """A sensor that stands still looks like a blocked joint: 0.3 rad back go at 1 rad/s."""
    safety = enabled(vector(0.3, 0.0, 0.5), watchdog=WatchdogLimits(max_gap_rad=1.0))
    safety.stop()
    positions = [0.3]
    for k in range(1, 40):
        command = safety.step(None, trembling(HOME, k), 0.0, k * TICK_NS)
        assert command is not None
        positions.append(float(command.positions[0]))
    assert np.abs(np.diff(positions)).max() / TICK_S < 1.01
    assert positions[20] == pytest.approx(0.05, abs=2e-3)


def test_arm_that_sinks_without_torque_is_followed_down_in_a_fault() -> None:
    """1 rad at 2 rad/s: the command is never far off, so torque that returns moves little."""
    safety = enabled()
    safety.step(HOME, HOME, 0.0, TICK_NS)
    safety.fault('motor without torque')
    measured = HOME
    for k in range(2, 60):
        measured = vector(-min(0.04 * k, 1.0), 0.0, 0.5)
        command = safety.step(None, measured, 0.0, k * TICK_NS)
        assert command is not None
        assert abs(command.positions[0] - measured[0]) < 0.15
    assert abs(command.positions[0] - measured[0]) < 0.051


def test_arm_that_leaves_its_pose_in_a_hold_is_a_fault() -> None:
    """It is followed, and told of once that is farther than the largest gap."""
    safety = enabled()
    for k in range(1, 40):
        measured = vector(-0.01 * k, 0.0, 0.5)
        command = safety.step(None, measured, 0.0, k * TICK_NS)
    assert command is not None
    assert command.status == 'fault'
    assert safety.reason == ('arm/quick does not keep its pose; check for a motor without torque')


def test_gripper_keeps_its_grip_in_hold_and_fault() -> None:
    """A measured gripper that an object keeps open does not loosen the command."""
    safety = enabled(vector(0.0, 0.0, 0.1))
    safety.stop()
    for k in range(1, 50):
        command = safety.step(None, vector(0.0, 0.0, 0.6), 0.0, k * TICK_NS)
    assert command is not None
    assert command.positions[2] == pytest.approx(0.1)


def test_enabling_again_keeps_the_last_command_where_the_arm_confirms_it() -> None:
    """Fifteen times with a sag of 0.04 rad and an object in the hand."""
    safety, now_ns = enabled(), 0
    for _ in range(15):
        now_ns += TICK_NS
        command = safety.step(None, vector(-0.04, 0.0, 0.9), 0.0, now_ns)
        safety.disable()
        safety.enable(vector(-0.04, 0.0, 0.9), 0.0)
    assert command is not None
    assert command.positions.tolist() == HOME.tolist()


def test_enabling_again_starts_from_an_arm_that_was_moved() -> None:
    """Where it is now, gripper included."""
    safety = enabled()
    safety.step(None, HOME, 0.0, TICK_NS)
    safety.disable()
    safety.enable(vector(0.3, 0.0, 0.9), 0.0)
    assert safety.pose.tolist() == vector(0.3, 0.0, 0.9).tolist()


def test_clock_that_goes_back_is_a_fault() -> None:
    """Ages and chunks mean nothing after it."""
    safety = enabled()
    safety.step(HOME, HOME, 0.0, 50 * TICK_NS)
    command = safety.step(HOME, HOME, 0.0, 25 * TICK_NS)
    assert command is not None
    assert command.status == 'fault'
    assert safety.reason == 'the clock went back by 0.50 s; see who sets it'


def test_arms_hold_and_start_from_rest_after_a_stall() -> None:
    """The speed from before it is long gone."""
    run = Runner(enabled())
    run.step(vector(0.9, 0.0, 0.5), ticks=5)
    before = float(run.at[0])
    run.now_ns += 50 * TICK_NS
    command = run.step(vector(0.9, 0.0, 0.5))
    assert command.status == 'hold'
    assert command.positions[0] == pytest.approx(before)
    assert run.safety.reason == 'no tick for 1.0 s'


def test_arms_stay_where_they_are_after_a_long_stall() -> None:
    """A process that was stopped, or a computer that slept, moves nothing when it goes on."""
    run = Runner(enabled())
    run.step(vector(0.9, 0.0, 0.5), ticks=5)
    before = float(run.at[0])
    run.now_ns += 150 * TICK_NS
    command = run.step(vector(0.9, 0.0, 0.5), ticks=50)
    assert command.status == 'fault'
    assert command.positions[0] == pytest.approx(before)
    reason = 'no tick for 3.0 s; see what stopped this process, or who set the clock'
    assert run.safety.reason == reason


def test_gripper_that_stops_on_an_object_is_no_fault() -> None:
    """A closed hand around a cube never reaches its command."""
    safety = enabled(vector(0.0, 0.0, 1.0))
    for k in range(1, 60):
        command = safety.step(vector(0.0, 0.0, 0.0), vector(0.0, 0.0, 1.0), 0.0, k * TICK_NS)
        assert command is not None
        assert command.status != 'fault'


def test_fault_keeps_its_first_reason() -> None:
    """What follows from a fault does not hide it."""
    safety = enabled()
    safety.fault('emergency stop')
    safety.fault('something else')
    assert safety.reason == 'emergency stop'


def test_emergency_stop_while_disabled_sends_nothing_and_is_latched() -> None:
    """It never wakes an arm up, and nothing is enabled before it is reset."""
    safety = Safety(LIMITS)
    safety.stop()
    assert safety.step(HOME, HOME, 0.0, 0) is None
    assert safety.reason == 'emergency stop'
    with pytest.raises(ValueError, match='emergency stop is latched; reset it first'):
        safety.enable(HOME, 0.0)
    safety.reset()
    assert (safety.state, safety.reason) == ('disabled', '')
    safety.enable(HOME, 0.0)
    assert safety.state == 'enabled'


@pytest.mark.parametrize('between', ['nothing', 'disable', 'a fault before'])
def test_emergency_stop_is_left_by_a_reset_only(between: str) -> None:
    """Neither enabling nor disabling lifts it; a reset moves nothing."""
    safety = enabled()
    if between == 'a fault before':
        safety.fault('something else')
    safety.stop()
    if between == 'disable':
        safety.disable()
    with pytest.raises(ValueError, match='reset it first'):
        safety.enable(HOME, 0.0)
    safety.reset()
    assert safety.state == ('disabled' if between == 'disable' else 'fault')
    safety.enable(HOME, 0.0)
    assert safety.state == 'enabled'


def test_disabling_is_silent_at_once_and_needs_enable() -> None:
    """No command follows, whatever comes in."""
    safety = enabled()
    safety.disable()
    assert safety.step(HOME, HOME, 0.0, TICK_NS) is None


def test_enabling_twice_changes_nothing() -> None:
    """A second call does not restart a motion from a measured pose."""
    run = Runner(enabled())
    run.step(vector(0.9, 0.9, 0.5), ticks=3)
    before = run.at
    run.safety.enable(vector(-0.5, -0.5, 0.5), 0.0)
    assert run.safety.interventions == 3
    assert np.abs(run.step(vector(0.9, 0.9, 0.5)).positions - before).max() < 0.1


def test_early_tick_repeats_the_last_command() -> None:
    """A burst of ticks does not move faster than one tick."""
    safety = enabled()
    first = safety.step(vector(0.9, 0.9, 0.9), HOME, 0.0, TICK_NS)
    assert safety.step(vector(0.9, 0.9, 0.9), HOME, 0.0, TICK_NS + 1_000_000) is first


def test_one_step_is_quick() -> None:
    """Fourteen joints in far less than a control period, here the fastest of 300 steps."""
    robot = read_robot(ROBOT)
    safety = Safety(Limits.from_robot(robot))
    at = robot.start
    safety.enable(at, 0.0)
    best_s = 1.0
    for k in range(300):
        begin = time.perf_counter()
        command = safety.step(at + np.float32(0.1), at, 0.0, k * TICK_NS)
        best_s = min(best_s, time.perf_counter() - begin)
        assert command is not None
        at = command.positions
    assert best_s < 500e-6


ANY = st.floats(-10, 10, width=32)
TARGET = st.one_of(
    st.none(),
    st.builds(vector, ANY, ANY, ANY),
    st.builds(vector, ANY, ANY, ANY),
    st.builds(vector, st.floats(width=32), ANY, ANY),
    st.builds(vector, ANY, ANY),
)
EVENT = st.tuples(
    TARGET,
    st.integers(1, 30),  # ticks this target stays
    st.sampled_from(['follows', 'follows', 'follows', 'stale', 'missing', 'nan', 'short', 'far']),
    st.sampled_from([1.0, 1.0, 1.0, 0.1, 0.6, 3.0, 100.0, -5.0]),  # periods between ticks
    st.booleans(),  # enable again before
    st.floats(-0.0625, 0.0625, width=32),  # how far the target moves in a tick
)


def sense(kind: str, at: Vector) -> tuple[Vector | None, float]:
    """Return measured joints and their age."""
    measured: dict[str, Vector | None] = {
        'missing': None,
        'nan': vector(float('nan'), 0.0, 0.0),
        'short': vector(0.0, 0.0),
        'far': at + np.float32(2.0),
    }
    return measured.get(kind, at), 0.3 if kind == 'stale' else 0.0


@settings(max_examples=120, deadline=None)
@given(events=st.lists(EVENT, min_size=1, max_size=12), start=st.tuples(ANY, ANY, ANY))
def test_commands_keep_every_limit_whatever_comes_in(
    events: list[tuple[Vector | None, int, str, float, bool, float]],
    start: tuple[float, float, float],
) -> None:
    """Range, speed and acceleration hold tick by tick, through holds, faults and odd clocks."""
    at = np.clip(vector(*start), LIMITS.lower, LIMITS.upper)
    safety = enabled(at)
    speed, now_ns, last = np.zeros(3), 0, None
    for target, ticks, kind, periods, again, drift in events:
        if again and safety.state == 'fault':
            safety.enable(at, 0.0)
            speed = np.zeros(3)
        for k in range(ticks):
            now_ns += round(periods * TICK_NS)
            speed = np.zeros(3) if periods > 10.0 else speed  # the arms have come to rest
            was_fault = safety.state == 'fault'
            wanted = None if target is None else target + np.float32(k * drift)
            command = safety.step(wanted, *sense(kind, at), now_ns)
            assert command is not None
            assert not was_fault or command.status == 'fault'
            if command is last:
                continue
            moved = (command.positions.astype(float) - at) / TICK_S
            assert np.isfinite(command.positions).all()
            assert (command.positions >= LIMITS.lower).all()
            assert (command.positions <= LIMITS.upper).all()
            assert (np.abs(moved) <= LIMITS.max_speed + 1e-4).all()
            assert (np.abs(moved - speed) <= LIMITS.max_acceleration * TICK_S + 1e-4).all()
            speed, at, last = moved, command.positions, command


INSIDE = st.builds(vector, st.floats(-1, 1, width=32), st.floats(-1, 1.5, width=32), st.just(0.5))


@settings(max_examples=30, deadline=None)
@given(start=INSIDE, first=INSIDE, ticks=st.integers(0, 40), second=INSIDE)
def test_standing_target_is_reached_and_not_passed_where_braking_can_avoid_it(
    start: Vector, first: Vector, ticks: int, second: Vector
) -> None:
    """From rest or from a motion that can still stop, the joint arrives and stays."""
    run = Runner(enabled(start), start)
    if ticks:
        run.step(first, ticks)
    before = run.at.astype(float)
    moving = (run.step(first).positions - before) / TICK_S
    gap = second.astype(float) - run.at
    can_stop = np.zeros(3, dtype=bool)
    for j in range(3):
        change = LIMITS.max_acceleration[j] * TICK_S
        speeds = np.arange(abs(moving[j]) - change, 0.0, -change)
        can_stop[j] = moving[j] * gap[j] <= 0 or abs(gap[j]) > TICK_S * speeds.sum() + 1e-5
    for _ in range(500):
        position = run.step(second).positions
        passed = (position - second.astype(float)) * np.sign(gap)
        assert (passed[can_stop] <= 1e-6).all()
    assert position.tolist() == second.tolist()

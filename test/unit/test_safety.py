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
    moving = safety.step(vector(0.5, 0.0, 0.5), HOME, 0.01, 2 * TICK_NS)
    assert moving is not None
    assert moving.status == 'limited'


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
        command = safety.step(vector(0.9, 0.0, 0.5), HOME, 0.0, k * TICK_NS)
    assert command is not None
    assert command.status == 'fault'
    assert 'arm/quick' in safety.reason
    assert 'limit 0.5' in safety.reason


def test_arm_that_lags_for_a_moment_is_no_fault() -> None:
    """Twelve ticks of a large gap, then the arm is there, then twelve more."""
    safety = enabled()
    for k in range(1, 100):
        arrived = k % 24 < 12
        measured = vector(0.9 if arrived else 0.0, 0.0, 0.5)
        safety.step(vector(0.9, 0.0, 0.5), measured, 0.0, k * TICK_NS)
        assert safety.state == 'enabled'


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


def test_fault_while_disabled_sends_nothing() -> None:
    """An emergency stop never wakes an arm up."""
    safety = Safety(LIMITS)
    safety.fault('emergency stop')
    assert safety.step(HOME, HOME, 0.0, 0) is None


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

# SPDX-License-Identifier: Apache-2.0
"""What a campaign of faults calls right and wrong, by commands and modes alone."""

from __future__ import annotations

import math

from cosmos_policy_ros.faults.verdict import find_due, gap_areas, judge, Seen, Verdict, Wanted
import numpy as np
import pytest

ARM = np.array([True, False])
PERIOD_S = 0.02
MODES = [(-1.0, 'playing')]


def commands(
    *parts: tuple[float, float], start_s: float = 0.0, gripper: float = 0.0
) -> list[tuple[float, np.ndarray]]:
    """Return commands at 50 Hz that move at some speeds [rad/s], each for a time [s]."""
    found, at_s, at_rad = [], start_s, 0.0
    for speed, seconds in parts:
        for _ in range(round(seconds / PERIOD_S)):
            at_s, at_rad = at_s + PERIOD_S, at_rad + speed * PERIOD_S
            found.append((at_s, np.array([at_rad, gripper])))
    return found


def verdict(
    reaction: str,
    modes: list[tuple[float, str]],
    moves: list[tuple[float, np.ndarray]],
    limit_s: float = 0.2,
    **seen: object,
) -> Verdict:
    """Return the verdict on a fault from 0 to 1 s, where 0.5 rad/s are usual."""
    wanted = Wanted(reaction, limit_s)  # type: ignore[arg-type]
    record = Seen(0.0, 1.0, [*MODES, *modes], moves, **seen)  # type: ignore[arg-type]
    return judge(wanted, record, ARM, PERIOD_S, 0.0628, 0.5)


def test_a_hold_in_time_that_rests_is_right() -> None:
    """From there on nothing moves until it is over."""
    found = verdict('hold', [(0.1, 'hold')], commands((0.5, 0.1), (0.0, 0.9)))
    assert found == Verdict('hold', 0.1, pytest.approx(0.01), pytest.approx(0.5))
    assert found.passed


def test_a_fault_is_a_hold_that_lasts() -> None:
    """But a hold is no fault."""
    assert verdict('hold', [(0.1, 'fault')], commands((0.0, 1.0))).passed
    assert verdict('fault', [(0.1, 'hold')], commands((0.0, 1.0))).wrong == 'hold, wanted fault'


def test_a_late_reaction_is_wrong() -> None:
    """With both times."""
    found = verdict('hold', [(0.35, 'hold')], commands((0.5, 0.35), (0.0, 0.65)))
    assert found.wrong == 'took 350 ms, limit 200 ms'


def test_no_reaction_is_wrong() -> None:
    """And has no time."""
    found = verdict('hold', [], commands((0.5, 1.0)))
    assert found.wrong == 'ignored, wanted hold'
    assert math.isnan(found.reaction_s)


def test_going_on_is_right_where_a_fault_came_to_nothing() -> None:
    """But what the arms do meanwhile is still looked at."""
    assert verdict('hold', [], commands((0.5, 1.0)), due_s=0.5, must_s=math.inf).passed
    assert not verdict('hold', [], commands((0.5, 1.0)), due_s=0.5, must_s=0.7).passed
    assert not verdict('hold', [], commands((3.0, 0.1)), must_s=math.inf).passed
    assert not verdict('fault', [(0.1, 'hold')], commands((0.0, 1.0)), must_s=math.inf).passed


def test_time_counts_once_the_stack_could_see_the_fault() -> None:
    """And the arms have to rest after they reacted, not before."""
    moves = commands((0.5, 0.75), (0.0, 0.25))
    assert verdict('hold', [(0.75, 'hold')], moves).wrong == 'took 750 ms, limit 200 ms'
    found = verdict('hold', [(0.75, 'hold')], moves, due_s=0.6)
    assert found.passed
    assert found.reaction_s == pytest.approx(0.15)
    assert verdict('hold', [(0.5, 'hold')], commands((0.0, 1.0)), due_s=0.6).reaction_s == 0.0
    early = verdict('hold', [(0.5, 'hold')], commands((0.0, 1.0)), due_s=math.inf, must_s=math.inf)
    assert early.passed
    assert math.isnan(early.reaction_s)


def test_a_fault_is_due_when_what_is_watched_gets_beyond_its_limit() -> None:
    """It has to be seen when it is beyond by more than an observer outside may be mistaken by."""
    times_s = [1.0, 1.1, 1.2]
    assert find_due(times_s, np.array([0.1, 0.3, 0.4]), 0.25) == (1.1, 1.2)
    assert find_due(times_s, np.array([0.1, 0.3, 0.3]), 0.25) == (1.1, math.inf)
    assert find_due([], np.zeros(0), 0.25) == (math.inf, math.inf)


def test_a_gap_adds_up_while_it_is_beyond_its_limit() -> None:
    """And begins anew where it was closed, as in the executor."""
    gaps = np.array([0.1, 0.25, 0.35, 0.1, 0.2])
    np.testing.assert_allclose(gap_areas(gaps, 0.15, 0.02), [0.0, 0.002, 0.006, 0.0, 0.001])


def test_a_hold_that_creeps_is_wrong() -> None:
    """More than an arm settles by, after the brake."""
    found = verdict('hold', [(0.1, 'hold')], commands((0.5, 0.1), (0.1, 0.9)))
    assert found.wrong == 'moved 0.062 rad after it had stopped'


def test_a_lunge_afterwards_is_wrong() -> None:
    """Faster than without a fault, within the limits of a step."""
    moves = commands((0.5, 0.1), (0.0, 0.9), (3.0, 0.1))
    wrong = '3.00 rad/s, the motion has 0.80 without a fault'
    assert verdict('hold', [(0.1, 'hold')], moves).wrong == wrong
    assert verdict('hold', [(0.1, 'hold')], moves, own_rad_s=2.5).passed


def test_a_step_beyond_the_limits_is_wrong_whatever_was_wanted() -> None:
    """Also where any reaction is safe."""
    moves = commands((0.0, 0.1), (5.0, 0.02), (0.0, 0.5))
    assert verdict('safe', [], moves).wrong.startswith('a step of 0.100 rad, limit 0.063')


def test_a_late_command_is_not_faster_for_the_next_one() -> None:
    """Two that come together were due a period apart."""
    moves = commands((0.5, 0.4))
    moves[5] = (moves[6][0] - 0.001, moves[5][1])
    assert verdict('ignored', [], moves).max_speed_rad_s == pytest.approx(0.5, abs=0.01)


def test_grippers_may_be_quick() -> None:
    """Their numbers are openings."""
    moves = commands((0.0, 0.2))
    moves[5] = (moves[5][0], np.array([0.0, 1.0]))
    assert verdict('ignored', [], moves).passed


def test_what_was_to_be_ignored_and_held_is_wrong() -> None:
    """It cost an episode."""
    found = verdict('ignored', [(0.3, 'hold')], commands((0.5, 0.3), (0.0, 0.7)))
    assert found.wrong == 'hold, wanted ignored'


@pytest.mark.parametrize(('refused', 'wrong'), [(True, ''), (False, 'obeyed, wanted refused')])
def test_a_call_is_refused_or_obeyed(refused: bool, wrong: str) -> None:
    """The modes do not matter then."""
    assert verdict('refused', [(0.1, 'fault')], [], refused=refused).wrong == wrong


def test_what_the_fault_itself_found_comes_first() -> None:
    """Though all else is right."""
    found = verdict('safe', [], commands((0.0, 1.0)), complaint='the arms moved')
    assert (found.wrong, found.passed) == ('the arms moved', False)

# SPDX-License-Identifier: Apache-2.0
"""A time that cannot stand still."""

from __future__ import annotations

from cosmos_policy_ros.control.steady_time import SteadyTime

S = 1_000_000_000


def test_a_running_clock_is_the_time() -> None:
    """To the nanosecond."""
    clock = SteadyTime(10.0)
    assert clock.read(5 * S, 10.0) == 5 * S
    assert clock.read(5 * S + 20_000_001, 10.02) == 5 * S + 20_000_001
    assert clock.standstill_s(10.02) == 0.0


def test_time_goes_on_where_the_clock_stands() -> None:
    """So that what has come before grows old."""
    clock = SteadyTime(10.0)
    clock.read(5 * S, 10.0)
    assert clock.read(5 * S, 12.5) == 7 * S + S // 2
    assert clock.standstill_s(12.5) == 2.5


def test_a_clock_that_never_ran_stands_from_the_start() -> None:
    """With use_sim_time and nobody who sends /clock."""
    clock = SteadyTime(10.0)
    clock.read(0, 10.05)
    assert clock.standstill_s(10.05) == 0.0
    assert clock.read(0, 11.0) == S
    assert clock.standstill_s(11.0) == 1.0


def test_time_between_two_messages_of_a_slow_clock_never_goes_back() -> None:
    """A simulator at half of its speed sends less than has passed here."""
    clock = SteadyTime(10.0)
    clock.read(5 * S, 10.0)
    assert clock.read(5 * S, 10.04) == 5 * S + 40_000_000
    assert clock.read(5 * S + 20_000_000, 10.041) == 5 * S + 40_000_000


def test_a_clock_that_is_set_back_is_seen_to_be() -> None:
    """Whoever acts by it faults then."""
    clock = SteadyTime(10.0)
    clock.read(5 * S, 10.0)
    assert clock.read(4 * S, 10.01) == 4 * S

# SPDX-License-Identifier: Apache-2.0
"""Ticks keep their grid, missed ones are skipped, and lateness is measured."""

from __future__ import annotations

import math
from pathlib import Path

from cosmos_policy_ros.control.ticks import Lateness, read_lateness, Ticker
import numpy as np
import pytest


def test_ticks_stay_on_their_grid_whatever_their_lateness() -> None:
    """Lateness of one tick does not move the next."""
    ticker = Ticker(0.02, 10.0)
    assert ticker.wait_s(10.0) == pytest.approx(0.02)
    assert ticker.take(10.025) == pytest.approx(10.02)
    assert ticker.wait_s(10.025) == pytest.approx(0.015)
    assert ticker.skipped == 0


def test_missed_ticks_are_skipped_and_counted() -> None:
    """After a stall of three and a half periods one tick comes, not four."""
    ticker = Ticker(0.02, 10.0)
    assert ticker.take(10.09) == pytest.approx(10.02)
    assert ticker.skipped == 3
    assert ticker.wait_s(10.09) == pytest.approx(0.01)


def test_early_tick_waits_no_less() -> None:
    """A tick taken before its time does not shift the grid."""
    ticker = Ticker(0.02, 10.0)
    assert ticker.take(10.0179) == pytest.approx(10.02)
    assert ticker.wait_s(10.02) == pytest.approx(0.02)


def test_ticks_by_the_clock_leave_room_for_another_loop() -> None:
    """Whole periods of the clock, and halves with a shift of half a period."""
    due_s = Ticker.by_clock(0.02).take(0.0)
    between_s = Ticker.by_clock(0.02, shift_s=0.01).take(0.0)
    assert due_s / 0.02 == pytest.approx(round(due_s / 0.02), abs=1e-6)
    assert between_s / 0.02 % 1.0 == pytest.approx(0.5, abs=1e-6)


def test_a_deadline_is_missed_late_or_skipped() -> None:
    """2 ms are allowed until the command has left; how late it began is told apart."""
    lateness = Lateness()
    lateness.add(10.0, 10.0001, 10.0019)
    assert lateness.misses == 0
    lateness.add(10.02, 10.0203, 10.0221)
    assert lateness.misses == 1
    lateness.add(10.1, 10.1002, 10.1004, skipped=3)
    assert lateness.misses == 4
    newest = lateness.newest_ms()
    assert (newest['p50'], newest['max']) == pytest.approx((0.2, 0.3))


def test_lateness_is_unknown_before_the_first_command() -> None:
    """No number is made up."""
    assert all(math.isnan(ms) for ms in Lateness().newest_ms().values())


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    """When due, how late it began and had left, skipped before; one row a command."""
    lateness = Lateness(str(tmp_path / 'log.json'))
    lateness.add(10.0, 10.001, 10.002)
    lateness.add(10.06, 10.06, 10.061, skipped=2)
    lateness.write('fifo 50')
    scheduling, ticks = read_lateness(tmp_path / 'log.json')
    assert scheduling == 'fifo 50'
    assert ticks == pytest.approx(np.array([[10.0, 0.001, 0.002, 0], [10.06, 0.0, 0.001, 2]]))


def test_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    """A stack that runs for days keeps the newest only."""
    lateness = Lateness()
    lateness.add(10.0, 10.001, 10.002)
    lateness.write('normal')
    assert list(tmp_path.iterdir()) == []
    assert len(lateness._log) == 0

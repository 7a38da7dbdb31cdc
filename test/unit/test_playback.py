# SPDX-License-Identifier: Apache-2.0
"""Chunks behind the safety: modes, seam jumps and standstill since enabling."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ActionChunk
import numpy as np
import pytest

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
START = ROBOT.start
TICK_NS = 20_000_000


def chunk(stamp_ns: int, waist_rad: float = 0.0, n_rows: int = 5) -> ActionChunk:
    """Return a chunk that keeps the start pose but for the left waist."""
    rows = np.tile(START, (n_rows, 1))
    rows[:, 0] = waist_rad
    return ActionChunk(stamp_ns, rows, 25.0)


@pytest.fixture
def playback() -> Playback:
    """Return a playback that was enabled at time 0."""
    playback = Playback(ROBOT)
    playback.enable(START, 0.0, 0)
    return playback


def run(playback: Playback, first: int, last: int) -> list[str]:
    """Tick from one tick number to another and return the modes."""
    modes = []
    for k in range(first, last):
        playback.tick(START, 0.0, k * TICK_NS)
        modes.append(playback.mode)
    return modes


def test_disabled_playback_is_silent() -> None:
    """No command and no time counted."""
    playback = Playback(ROBOT)
    assert playback.tick(START, 0.0, 0) is None
    assert playback.mode == 'disabled'


def test_chunk_is_waited_for_played_and_held(playback: Playback) -> None:
    """160 ms of rows are eight ticks; what comes before is waiting, not standstill."""
    assert run(playback, 0, 5) == ['hold'] * 5
    assert playback.stats.standstill_s == 0.0
    playback.add(chunk(5 * TICK_NS), 5 * TICK_NS)
    assert run(playback, 5, 16) == ['playing'] * 8 + ['ended'] * 3
    assert playback.stats.standstill_s == pytest.approx(0.06)
    assert playback.reason == 'action chunk ended, holding its last row'


def test_missed_ticks_count_as_standstill(playback: Playback) -> None:
    """Three periods passed since the last tick."""
    playback.add(chunk(0), 0)
    playback.tick(START, 0.0, 100 * TICK_NS, n_periods=3)
    assert playback.stats.standstill_s == pytest.approx(0.06)


def test_seam_jumps_are_kept_until_enabled_again(playback: Playback) -> None:
    """The newest, the largest and the 99th percentile of the two."""
    for k, waist in enumerate((0.0, 0.2, 0.15)):
        playback.add(chunk(k, waist), k)
        playback.tick(START, 0.0, 10 * TICK_NS * (k + 1))
    assert playback.stats.seam_jump_rad_max == pytest.approx(0.2)
    assert playback.stats.seam_jump_rad_p99 == pytest.approx(0.05 + 0.99 * 0.15)
    assert playback.stats.seam_jump.rad == pytest.approx(0.05)
    playback.disable()
    playback.enable(START, 0.0, 40 * TICK_NS)
    assert playback.stats.chunks == 0
    assert playback.stats.seam_jump_rad_max == 0.0
    assert playback.stats.seam_jump_rad_p99 == 0.0


def test_speed_jump_is_that_of_the_curves_at_the_take_over(playback: Playback) -> None:
    """Rows that move 0.01 rad in 40 ms meet a chunk that stands still."""
    rows = np.tile(START, (20, 1))
    rows[:, 0] = START[0] + 0.01 * np.arange(20)
    playback.add(ActionChunk(0, rows.astype(np.float32), 25.0), 0)
    playback.add(
        ActionChunk(TICK_NS, np.tile(rows[4], (20, 1)).astype(np.float32), 25.0), 8 * TICK_NS
    )
    assert playback.stats.seam_jump.rad == pytest.approx(0.0, abs=1e-6)
    assert playback.stats.seam_speed_jump_rad_s_max == pytest.approx(0.25, abs=1e-3)


def test_nothing_is_upcoming_before_the_first_chunk(playback: Playback) -> None:
    """It begins when it comes, at any time."""
    assert playback.upcoming(0, 25.0, 3) is None
    assert playback.next_row_ns(0) is None
    assert playback.end_ns is None


def test_the_running_chunk_is_upcoming_after_it(playback: Playback) -> None:
    """Its own rows, from the one that is due."""
    playback.add(chunk(0, 0.3), 0)
    rows = playback.upcoming(2 * TICK_NS, 25.0, 3)
    assert rows is not None
    assert rows[:, 0].tolist() == pytest.approx([0.3, 0.3, 0.3])
    assert playback.next_row_ns(TICK_NS) == 2 * TICK_NS


def test_nothing_is_upcoming_while_disabled() -> None:
    """Nobody knows what will move the arms."""
    assert Playback(ROBOT).upcoming(0, 25.0, 3) is None


def test_chunk_from_before_enabling_is_refused(playback: Playback) -> None:
    """A slow answer of the last episode does not move this one."""
    playback.disable()
    playback.enable(START, 0.0, 10 * TICK_NS)
    with pytest.raises(ValueError, match='before the start'):
        playback.add(chunk(9 * TICK_NS), 10 * TICK_NS)


def test_stale_joints_hold_while_a_chunk_plays(playback: Playback) -> None:
    """The mode and the reason say so."""
    playback.add(chunk(0), 0)
    command = playback.tick(START, 0.3, TICK_NS)
    assert command is not None
    assert (command.status, playback.mode) == ('hold', 'hold')
    assert '300 ms old' in playback.reason

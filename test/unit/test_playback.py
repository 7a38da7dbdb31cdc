# SPDX-License-Identifier: Apache-2.0
"""Chunks behind the safety: modes, seam jumps and standstill since enabling."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.control.seams import PlaybackSettings
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


def test_grippers_stay_in_the_range_of_the_robot(playback: Playback) -> None:
    """A policy says 1.4 and -0.4: the gripper goes to its ends and turns round at once."""
    wanted = chunk(0, n_rows=30)
    wanted.positions[:15, [6, 13]], wanted.positions[15:, [6, 13]] = 1.4, -0.4
    playback.add(wanted, 0)
    upcoming = playback.upcoming(0, 25.0, 30)
    assert upcoming is not None
    assert upcoming[:, 6].tolist() == [1.0] * 15 + [0.0] * 15
    commands = [playback.tick(START, 0.0, k * TICK_NS) for k in range(60)]
    opening = np.array([c.positions[[6, 13]] for c in commands if c is not None])
    assert (opening.min(), opening.max()) == (0.0, 1.0)
    inside = Playback(ROBOT)
    inside.enable(START, 0.0, 0)
    wanted.positions[:, [6, 13]] = wanted.positions[:, [6, 13]].clip(0.0, 1.0)
    inside.add(wanted, 0)
    for k, command in enumerate(commands):
        same = inside.tick(START, 0.0, k * TICK_NS)
        assert command is not None
        assert same is not None
        assert command.positions.tolist() == same.positions.tolist()


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
    """Rows that move 0.01 rad in 40 ms meet a chunk that stands still, near enough."""
    rows = np.tile(START, (20, 1))
    rows[:, 0] = START[0] + 0.01 * np.arange(20)
    playback.add(ActionChunk(0, rows.astype(np.float32), 25.0), 0)
    playback.add(
        ActionChunk(TICK_NS, np.tile(rows[4], (20, 1)).astype(np.float32), 25.0), 8 * TICK_NS
    )
    # the first chunk started from rest, so it is a few ms late
    assert playback.stats.seam_jump.rad < 2e-3
    assert playback.stats.seam_speed_jump_rad_s_max == pytest.approx(0.25, abs=1e-3)


def test_nothing_is_upcoming_before_the_first_chunk(playback: Playback) -> None:
    """It begins when it comes, at any time."""
    assert playback.upcoming(0, 25.0, 3) is None
    assert playback.next_row_ns(0) is None
    assert playback.end_ns is None


def test_the_running_chunk_is_upcoming_after_it(playback: Playback) -> None:
    """Its own rows, from the one that is due."""
    playback.add(chunk(0, START[0]), 0)
    rows = playback.upcoming(2 * TICK_NS, 25.0, 3)
    assert rows is not None
    assert rows[:, 0].tolist() == pytest.approx([START[0]] * 3)
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


def test_chunk_planned_from_too_long_ago_is_refused(playback: Playback) -> None:
    """Though the arms have stood still since; the limit is one of the watchdog."""
    with pytest.raises(ValueError, match=r'seen 1\.60 s ago, limit 1\.5 s.*raise max_chunk_age_s'):
        playback.add(chunk(0), 1_600_000_000)
    playback.add(chunk(100_000_000), 1_600_000_000)
    assert playback.stats.chunks == 1


def test_stale_joints_hold_while_a_chunk_plays(playback: Playback) -> None:
    """The mode and the reason say so."""
    playback.add(chunk(0), 0)
    command = playback.tick(START, 0.3, TICK_NS)
    assert command is not None
    assert (command.status, playback.mode) == ('hold', 'hold')
    assert '300 ms old' in playback.reason


class Arms:
    """A playback and arms that follow it perfectly, in virtual time."""

    def __init__(self, settings: PlaybackSettings | None = None) -> None:
        """Enable at time 0."""
        self.playback, self.tick, self.waist = Playback(ROBOT, settings), 0, [float(START[0])]
        self.playback.enable(START, 0.0, 0)

    @property
    def now_ns(self) -> int:
        """Time now [ns]."""
        return self.tick * TICK_NS

    def run(self, ticks: int, hold: str = '') -> None:
        """Let some ticks pass and keep the commands of the left waist."""
        for _ in range(ticks):
            self.tick += 1
            pose = self.playback.safety.pose
            command = self.playback.tick(pose, 0.0, self.now_ns, hold_reason=hold)
            assert command is not None
            self.waist.append(float(command.positions[0]))

    def speeds(self) -> np.ndarray:
        """Return the speeds of the left waist [rad/s]."""
        return np.diff(self.waist) / 0.02


def ramp(stamp_ns: int, start_rad: float, speed: float, n_rows: int = 60) -> ActionChunk:
    """Return a chunk in which the left waist moves at a speed [rad/s]."""
    rows = np.tile(START, (n_rows, 1))
    rows[:, 0] = start_rad + speed / 25.0 * np.arange(n_rows)
    return ActionChunk(stamp_ns, rows, 25.0)


@pytest.mark.parametrize('hold_ticks', [1, 12, 50])
def test_a_hold_ends_the_chunk_and_a_new_one_goes_on_at_its_own_pace(hold_ticks: int) -> None:
    """Nothing is caught up with: the motion at 0.5 rad/s is never faster than that."""
    arms = Arms()
    arms.playback.add(ramp(0, START[0], 0.5), 0)
    arms.run(25)
    arms.run(hold_ticks, hold='a camera is silent')
    stopped = arms.tick
    arms.run(50)
    assert (arms.playback.mode, arms.playback.reason) == ('hold', 'no action chunk yet')
    assert np.abs(arms.speeds()[stopped + 1 :]).max() == 0.0
    arms.playback.add(ramp(arms.now_ns - 10 * TICK_NS, arms.waist[-1], 0.5), arms.now_ns)
    arms.run(50)
    assert arms.playback.mode == 'playing'
    assert np.abs(arms.speeds()[stopped:]).max() < 1.01  # its own pace, and as much to join it


def test_chunk_asked_for_before_a_hold_ended_is_refused() -> None:
    """What the policy saw then is old."""
    arms = Arms()
    arms.playback.add(ramp(0, START[0], 0.5), 0)
    arms.run(25)
    arms.run(5, hold='a camera is silent')
    asked_ns = arms.now_ns
    arms.run(15)
    with pytest.raises(ValueError, match='end of a hold'):
        arms.playback.add(ramp(asked_ns, arms.waist[-1], 0.5), arms.now_ns)


def test_stalled_executor_does_not_catch_up() -> None:
    """Stopped for a second in motion, it holds where it was and waits for a chunk."""
    arms = Arms()
    arms.playback.add(ramp(0, START[0], 0.5), 0)
    arms.run(25)
    arms.tick += 50
    arms.run(50)
    assert arms.playback.mode == 'hold'
    assert abs(arms.waist[-1] - arms.waist[25]) < 1e-6


def test_chunk_far_from_the_arms_is_refused() -> None:
    """A stranger's chunk 1 rad away, at the start and in motion; 0.29 rad are joined slowly."""
    arms = Arms()
    for chunks in (0, 1):
        with pytest.raises(ValueError, match='rad from where the arms are'):
            arms.playback.add(ramp(arms.now_ns, arms.waist[-1] + 1.0, 0.0), arms.now_ns)
        assert arms.playback.stats.chunks == chunks
        if not chunks:
            arms.playback.add(ramp(arms.now_ns, START[0] + 0.29, 0.0), arms.now_ns)
            arms.run(100)
    assert arms.waist[-1] == pytest.approx(START[0] + 0.29)
    assert arms.speeds().max() == pytest.approx(0.5, abs=0.01)


def test_first_chunk_is_joined_slowly_whatever_the_seam() -> None:
    """``official`` switches from chunk to chunk, and not from a pose that is held."""
    arms = Arms(PlaybackSettings('official', 'linear'))
    arms.playback.add(ramp(0, START[0] + 0.29, 0.0), 0)
    arms.run(100)
    assert arms.waist[-1] == pytest.approx(START[0] + 0.29)
    assert arms.speeds().max() == pytest.approx(0.5, abs=0.01)


def test_chunk_that_begins_far_from_arms_that_stand_is_refused() -> None:
    """It would begin with its first row, 1 rad away; that it gets to the arms later is no help."""
    arms = Arms()
    arms.playback.add(ramp(0, START[0], 0.0, n_rows=5), 0)
    arms.run(75)
    assert arms.playback.mode == 'ended'
    with pytest.raises(ValueError, match=r'begins 1\.00 rad from where the arms are'):
        arms.playback.add(ramp(arms.now_ns - 1_000_000_000, START[0] - 1.0, 1.0), arms.now_ns)
    arms.run(25)
    assert np.abs(arms.speeds()).max() == 0.0


def test_shaking_chunks_are_refused() -> None:
    """Half a radian to and fro at 10 Hz moves nothing."""
    arms = Arms()
    refused = 0
    for k in range(10):
        try:
            arms.playback.add(ramp(arms.now_ns, START[0] + 0.5 * (-1) ** k, 0.0), arms.now_ns)
        except ValueError:
            refused += 1
        arms.run(5)
    assert refused == 10
    assert np.abs(arms.speeds()).max() == 0.0


def test_late_chunk_that_begins_at_the_arms_is_no_stranger() -> None:
    """A policy that moves at 1 rad/s and takes 0.5 s is 0.5 rad ahead when its answer comes."""
    arms = Arms()
    arms.run(25)
    arms.playback.add(ramp(0, START[0], 1.0), arms.now_ns)
    assert arms.playback.stats.chunks == 1

# SPDX-License-Identifier: Apache-2.0
"""Recorded commands as chunks, and what the executor makes of them; no ROS."""

from __future__ import annotations

from pathlib import Path

from bags import ROBOT
from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.control.replay import CHUNK_S, Replay, REST_S, STEP_S
from cosmos_policy_ros.data.bags.series import read_commands
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.terminal.replay import replay_bag
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest

TIME_S = np.arange(151) / 50.0
SWING = np.tile(ROBOT.start.astype(np.float64), (151, 1))
SWING[:, 0] = 0.3 + 0.4 * np.sin(2.0 * TIME_S)  # begins 0.3 rad from the start pose


def make_replay(speed: float = 1.0, lead_speed: float = 0.5) -> Replay:
    """Return the swing, reached from the start pose."""
    return Replay(TIME_S, SWING, ROBOT.start, 50.0, speed, lead_speed)


def test_way_to_the_first_pose_is_as_slow_as_asked() -> None:
    """0.3 rad at no more than 0.2 rad/s, from rest to rest."""
    replay = make_replay(lead_speed=0.2)
    waist = replay.at(np.arange(0.0, replay.lead_s, 0.001))[:, 0]
    speed = np.diff(waist) / 0.001
    assert 0.19 < speed.max() < 0.2001
    assert waist[0] == pytest.approx(0.0, abs=1e-6)
    assert waist[-1] == pytest.approx(0.3)
    assert replay.lead_s == pytest.approx(0.3 * 1.875 / 0.2 + REST_S, abs=0.021)


def test_near_start_still_takes_a_second() -> None:
    """Who enables has time to see that it begins."""
    replay = Replay(TIME_S, SWING, SWING[0].astype(np.float32), 50.0)
    assert replay.lead_s == 1.0 + REST_S


def test_rows_are_the_recorded_commands() -> None:
    """At the pace of the recording every row meets one."""
    replay = make_replay()
    assert replay.at(replay.lead_s + TIME_S) == pytest.approx(SWING, abs=1e-9)


def test_half_speed_takes_twice_as_long() -> None:
    """The way keeps its own speed."""
    replay, slow = make_replay(), make_replay(speed=0.5)
    assert slow.lead_s == replay.lead_s
    assert slow.total_s - slow.lead_s == pytest.approx(6.0)
    assert slow.at(np.array([slow.lead_s + 2.0]))[0] == pytest.approx(SWING[50])


def test_chunks_agree_where_they_overlap_and_reach_the_end() -> None:
    """The last row of the last chunk is the last command."""
    replay = make_replay()
    first, second = replay.chunk(0, 7), replay.chunk(1, 7)
    assert second.stamp_ns - first.stamp_ns == round(STEP_S * 1e9)
    assert first.positions[20:].tolist() == second.positions[:40].tolist()
    assert replay.chunk(0, 7).positions[0].tolist() == pytest.approx(ROBOT.start.tolist())
    last = replay.chunk(replay.n_chunks - 1, 7)
    assert last.positions[-1] == pytest.approx(SWING[-1], abs=1e-6)
    assert (replay.n_chunks - 1) * STEP_S + CHUNK_S >= replay.total_s


def test_executor_sends_what_was_recorded() -> None:
    """Through chunk player and safety, with chunks that come 0.3 s late; without a change."""
    replay, playback, late_s = make_replay(), Playback(ROBOT), 0.3
    playback.enable(ROBOT.start, 0.0, 0)
    start_ns, sent, number = 50_000_000, [], 0
    for tick in range(round((replay.total_s + 0.1) * 50)):
        now_ns = tick * 20_000_000
        due_ns = start_ns + round((number * STEP_S + (late_s if number else 0.0)) * 1e9)
        if number < replay.n_chunks and now_ns >= due_ns:
            playback.add(replay.chunk(number, start_ns), now_ns)
            number += 1
        measured = sent[-1][1] if sent else ROBOT.start
        command = playback.tick(measured, 0.0, now_ns)
        assert command is not None
        sent.append((now_ns, command.positions))
    assert number == replay.n_chunks
    times = np.array([(ns - start_ns) * 1e-9 for ns, _ in sent])
    errors = replay.errors(times, np.array([positions for _, positions in sent]))
    assert len(errors) >= 149
    assert np.abs(errors).max() < 0.002
    assert playback.safety.interventions <= 3  # ticks before the first chunk


def write_commands(path: Path, positions: np.ndarray, period_ns: int = 20_000_000) -> None:
    """Write a bag with joint commands only."""
    with BagWriter(path, {'robot': 'aloha_sim'}) as bag:
        bag.write_text('/task', 'swing', 0)
        for i, row in enumerate(positions):
            bag.write_joints('/joint_command', ROBOT.joint_names, row, 5 + i * period_ns)


def test_commands_come_back_from_a_bag(tmp_path: Path) -> None:
    """Times begin at 0."""
    write_commands(tmp_path / 'bag', SWING)
    commands = read_commands(tmp_path / 'bag', ROBOT)
    assert commands.time_s == pytest.approx(TIME_S)
    assert commands.values.tolist() == SWING.tolist()


def test_pause_in_the_commands_is_refused(tmp_path: Path) -> None:
    """Nobody knows how the arms went on in 0.2 s."""
    write_commands(tmp_path / 'bag', SWING[:3], 200_000_000)
    with pytest.raises(ConfigError, match=r'no joint command for 0\.20 s at 0\.00 s'):
        read_commands(tmp_path / 'bag', ROBOT)


def test_nan_is_refused(tmp_path: Path) -> None:
    """It would stop the arms in the middle."""
    write_commands(tmp_path / 'bag', np.where(TIME_S[:, None] == 1.0, np.nan, SWING))
    with pytest.raises(ConfigError, match='NaN or infinite'):
        read_commands(tmp_path / 'bag', ROBOT)


def test_bag_of_other_joints_is_refused(tmp_path: Path) -> None:
    """Both sides are named."""
    with BagWriter(tmp_path / 'bag', {}) as bag:
        for i in range(3):
            bag.write_joints('/joint_command', ['left/waist'], [0.0], i * 20_000_000)
    with pytest.raises(ConfigError, match=r"\['left/waist'\], expected \['follower_left/waist'"):
        read_commands(tmp_path / 'bag', ROBOT)


def test_bag_without_commands_is_refused(tmp_path: Path) -> None:
    """There is nothing to play."""
    with BagWriter(tmp_path / 'bag', {}) as bag:
        bag.write_text('/task', 'wait', 0)
    with pytest.raises(ConfigError, match='0 messages on /joint_command'):
        read_commands(tmp_path / 'bag', ROBOT)


def test_what_is_no_bag_is_told_with_what_makes_one(tmp_path: Path) -> None:
    """A file of rows, and a data set."""
    (tmp_path / 'a.hdf5').write_bytes(b'rows')
    (tmp_path / 'meta').mkdir()
    for path in (tmp_path, tmp_path / 'a.hdf5'):
        with pytest.raises(
            ConfigError, match=r'is no bag, .* cosmos-policy convert SRC DST --to b'
        ):
            replay_bag(path)

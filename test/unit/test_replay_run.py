# SPDX-License-Identifier: Apache-2.0
"""A replay on the clock of its executor, without ROS and without waiting."""

from __future__ import annotations

from cosmos_policy_ros.control.replay import Replay
from cosmos_policy_ros.control.replay_run import refuse_leaders, ReplayRun, start_on_tick
from cosmos_policy_ros.status import ExecutorStatus
import numpy as np
import pytest

START_NS = 5_000_000_000
TIME_S = np.array([0.0, 1.0, 2.0])
POSES = np.array([[0.0], [0.2], [0.0]])
PLAYING = ExecutorStatus('enabled', 'playing')
HOLDING = ExecutorStatus('enabled', 'hold', 'joint states are 140 ms old')


def replay() -> Replay:
    """Return two seconds of one joint that begin where the arm stands."""
    return Replay(TIME_S, POSES, np.zeros(1, np.float32), 50.0)


def run() -> ReplayRun:
    """Return its run."""
    return ReplayRun(replay(), START_NS)


def test_ticks_of_the_executor_meet_the_rows() -> None:
    """It begins whole periods after a command, and no sooner than a chunk can be sent ahead."""
    start_ns = start_on_tick(held_ns=1_000_000_003, now_ns=1_050_000_000, rate_hz=50.0)
    assert start_ns == 1_000_000_003 + 13 * 20_000_000


def test_chunks_are_sent_ahead_of_their_first_row() -> None:
    """0.2 s before it is due, each once."""
    replaying = run()
    assert list(replaying.due_chunks(-0.3)) == []
    assert [chunk.stamp_ns for chunk in replaying.due_chunks(-0.2)] == [START_NS]
    assert list(replaying.due_chunks(0.1)) == []
    assert [c.stamp_ns for c in replaying.due_chunks(0.2)] == [START_NS + 400_000_000]


def test_chunk_that_comes_too_late_ends_the_replay() -> None:
    """The arms have stopped at the end of the one before."""
    replaying = run()
    list(replaying.due_chunks(0.0))
    with pytest.raises(RuntimeError, match=r'stalled at 1\.3 s'):
        list(replaying.due_chunks(1.3))


def test_fault_ends_the_replay_at_once() -> None:
    """No further chunk is sent."""
    with pytest.raises(RuntimeError, match=r'is in fault \(emergency stop\); no further chunk'):
        run().check(ExecutorStatus('fault', 'fault', 'emergency stop'), 0.0)


def test_short_hold_is_waited_for() -> None:
    """A late joint state on a busy machine is no reason to give up; a second of them is."""
    replaying = run()
    replaying.check(PLAYING, 2.0)
    replaying.check(HOLDING, 2.9)
    with pytest.raises(RuntimeError, match=r'at 3\.1 s but is in hold \(joint states are'):
        replaying.check(HOLDING, 3.1)


def test_a_person_who_takes_over_ends_the_replay() -> None:
    """The arms are somewhere else when they give back."""
    replaying = run()
    replaying.check(PLAYING, 1.0)
    with pytest.raises(RuntimeError, match=r'a person has taken over at 1\.2 s'):
        replaying.check(ExecutorStatus('enabled', 'playing', led_by='person'), 1.2)


def test_an_executor_that_follows_leaders_is_refused_before_it_is_enabled() -> None:
    """It would move the arms to them."""
    refuse_leaders(ExecutorStatus('disabled', 'disabled'))
    with pytest.raises(RuntimeError, match='end the teleoperation, then start again'):
        refuse_leaders(ExecutorStatus('disabled', 'disabled', led_by='person'))


def test_executor_that_somebody_disables_ends_the_replay() -> None:
    """Before it has played it may still be disabled."""
    replaying = run()
    replaying.check(ExecutorStatus('disabled', 'disabled'), 0.5)
    replaying.check(PLAYING, 0.6)
    with pytest.raises(RuntimeError, match=r'is in disabled \(no reason given\)'):
        replaying.check(ExecutorStatus('disabled', 'disabled'), 0.7)


def test_what_was_sent_is_compared_joint_by_joint() -> None:
    """The way to the first pose is left out."""
    begin_ns = START_NS + round(replay().lead_s * 1e9)
    commands = [(begin_ns + 500_000_000, [0.1]), (begin_ns + 1_000_000_000, [0.25])]
    found = run().compare([(START_NS, [9.0]), *commands], ['waist'])
    assert found['commands'] == 2
    assert found['max_error'] == {'waist': 0.05}


def test_replay_without_commands_is_no_success() -> None:
    """Nothing was compared."""
    with pytest.raises(RuntimeError, match='nothing arrived on joint_command'):
        run().compare([], ['waist'])

# SPDX-License-Identifier: Apache-2.0
"""ExecutorMirror: which rows are committed to, by what the executor really sends."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.control.mirror import ExecutorMirror
from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.control.seams import PlaybackSettings
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ActionChunk
import numpy as np
from numpy.typing import NDArray
import pytest

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
START = ROBOT.start
MS = 1_000_000
RATE_HZ = 6.25  # rows of 160 ms


def moving(stamp_ms: int, start_rad: float, step_rad: float = 0.05) -> ActionChunk:
    """Return a chunk of 16 rows in which the left waist moves on."""
    rows = np.tile(START, (16, 1))
    rows[:, 0] = start_rad + step_rad * np.arange(16)
    return ActionChunk(stamp_ms * MS, rows, RATE_HZ)


class Stack:
    """An executor and its mirror in virtual time; the first query was at 0."""

    def __init__(self) -> None:
        """Enable the executor at 0."""
        settings = PlaybackSettings()
        self.playback, self.mirror = Playback(ROBOT, settings), ExecutorMirror(ROBOT, settings)
        self.now_ms = 0
        self.enable()

    def enable(self) -> None:
        """Enable where the arms are."""
        self.playback.enable(self.playback.safety.pose if self.now_ms else START, 0.0, self.now_ns)

    @property
    def now_ns(self) -> int:
        """Time now [ns]."""
        return self.now_ms * MS

    def run(self, ms: int, hold: str = '') -> None:
        """Let time pass; the arms are where they are commanded."""
        for _ in range(ms // 20):
            self.now_ms += 20
            pose = self.playback.safety.pose
            command = self.playback.tick(pose, 0.0, self.now_ns, hold_reason=hold)
            if command is not None:
                self.mirror.note_command(command.stamp_ns, command.positions)

    def send(self, chunk: ActionChunk) -> None:
        """Send a chunk to both."""
        self.playback.add(chunk, self.now_ns)
        self.mirror.add(chunk, self.now_ns)

    def waist(self, n_rows: int = 4) -> list[float]:
        """Return the committed rows of the left waist at the next row, rounded to mrad."""
        stamp_ns = self.mirror.next_row_ns(self.now_ns) or self.now_ns
        rows = self.mirror.upcoming(stamp_ns, RATE_HZ, n_rows)
        return [round(float(x), 3) for x in rows[:, 0]]


@pytest.fixture
def stack() -> Stack:
    """Return an executor that was enabled 0.3 s ago."""
    stack = Stack()
    stack.run(300)
    return stack


def test_nothing_is_committed_before_the_first_chunk(stack: Stack) -> None:
    """It begins when it comes, wherever the arms are held until then."""
    assert stack.mirror.upcoming(stack.now_ns, RATE_HZ, 3).shape == (0, 14)


def test_the_rows_of_the_running_chunk_are_committed(stack: Stack) -> None:
    """From the next row on: 0.96 s after the chunk began at 0.3 s that is row 6.

    A few ms later: at its 0.31 rad/s the chunk started from rest.
    """
    stack.send(moving(100, START[0]))
    stack.run(820)
    assert stack.mirror.next_row_ns(stack.now_ns) == pytest.approx(1265 * MS, abs=MS)
    expected = START[0] + 0.05 * np.array([6, 7, 8, 9])
    np.testing.assert_allclose(stack.waist(), expected, atol=1e-3)


def test_what_is_committed_is_what_the_executor_would_play(stack: Stack) -> None:
    """Mirror and executor agree to the last digit once safety has caught up."""
    stack.send(moving(100, START[0]))
    stack.run(800)
    ours = stack.mirror.upcoming(1260 * MS, RATE_HZ, 8)
    theirs = stack.playback.upcoming(1260 * MS, RATE_HZ, 8)
    np.testing.assert_array_equal(ours, theirs)


def test_nothing_is_committed_without_commands() -> None:
    """The executor is disabled, or runs somewhere else."""
    mirror = ExecutorMirror(ROBOT, PlaybackSettings())
    mirror.add(moving(0, 0.0), 0)
    assert mirror.upcoming(0, RATE_HZ, 4).shape == (0, 14)
    assert mirror.next_row_ns(0) is None


def test_nothing_is_committed_half_a_second_after_the_last_command(stack: Stack) -> None:
    """Nor is a chunk played along that comes then."""
    stack.send(moving(100, START[0]))
    stack.run(200)
    last_ns = stack.now_ns
    assert len(stack.mirror.upcoming(last_ns + 500 * MS, RATE_HZ, 4)) == 4
    assert len(stack.mirror.upcoming(last_ns + 501 * MS, RATE_HZ, 4)) == 0


def test_chunks_from_before_a_pause_are_never_played_along(stack: Stack) -> None:
    """Enabled again, the executor holds its pose, and an answer to an old query is refused."""
    stack.send(moving(100, START[0]))
    stack.run(400)
    stack.playback.disable()
    stack.run(600)
    stack.enable()
    stack.run(100)
    assert stack.waist() == []
    with pytest.raises(ValueError, match='before the start'):
        stack.mirror.add(moving(900, 2.0), stack.now_ns)
    assert stack.waist() == []


def test_nothing_of_before_a_clock_was_set_back_is_committed(stack: Stack) -> None:
    """The old chunk would lie ahead for as long, and the policy begin where no arm is."""
    stack.run(2000)
    stack.send(moving(stack.now_ms, START[0]))
    stack.run(400)
    stack.playback.disable()
    stack.now_ms -= 2000
    assert stack.waist() == []
    stack.enable()
    stack.run(100)
    assert stack.waist() == []
    pose = float(stack.playback.safety.pose[0])
    stack.send(moving(stack.now_ms, pose))
    stack.run(480)
    expected = pose + 0.05 * np.array([3, 4, 5, 6])
    np.testing.assert_allclose(stack.waist(), expected, atol=1e-3)


def test_the_held_pose_is_committed_while_the_executor_holds(stack: Stack) -> None:
    """A fault or a silent camera: the chunk moves on without the arms."""
    stack.send(moving(100, START[0]))
    stack.run(400)
    stack.run(400, hold='camera is silent')
    pose = round(float(stack.playback.safety.pose[0]), 3)
    assert stack.waist() == [pose] * 4


def test_the_held_pose_is_committed_after_a_hold_and_the_next_chunk_played(stack: Stack) -> None:
    """The executor waits for a chunk that was asked for since; both play that one alike."""
    stack.send(moving(100, START[0]))
    stack.run(400)
    stack.run(60, hold='camera is silent')
    assert not stack.mirror.stopped(stack.now_ns)
    stack.run(300)
    pose = float(stack.playback.safety.pose[0])
    assert stack.waist() == [round(pose, 3)] * 4
    assert stack.mirror.stopped(stack.now_ns)
    stack.send(moving(stack.now_ms, pose))
    stack.run(480)
    target = stack.mirror.upcoming(stack.now_ns, RATE_HZ, 1)[0, 0]
    assert target == pytest.approx(stack.playback.safety.pose[0], abs=0.01)
    assert not stack.mirror.stopped(stack.now_ns)


def test_a_quick_restart_leaves_the_old_chunk_behind(stack: Stack) -> None:
    """Disabled and enabled within half a second, the next chunk plays alone from the start."""
    stack.send(moving(100, START[0]))
    stack.run(400)
    stack.playback.disable()
    stack.run(100)
    stack.enable()
    stack.run(300)
    pose = stack.playback.safety.pose[0]
    assert stack.waist() == [round(float(pose), 3)] * 4
    stack.send(moving(stack.now_ms - 100, pose, 0.0))
    assert stack.waist() == [round(float(pose), 3)] * 4


def test_nothing_is_committed_while_somebody_else_moves_the_arms(stack: Stack) -> None:
    """The executor plays a chunk that this planner knows nothing of."""
    stack.playback.add(moving(100, START[0]), stack.now_ns)
    stack.run(400)
    assert stack.waist() == []


def test_no_mismatch_where_the_committed_rows_were_played(stack: Stack) -> None:
    """After a second of the chunk safety has caught up with it."""
    stack.send(moving(100, START[0]))
    stack.run(800)
    rows = stack.mirror.upcoming(1260 * MS, RATE_HZ, 6)
    stack.run(620)
    mismatch_rad = stack.mirror.mismatch_rad(rows, 1260 * MS, RATE_HZ, stack.now_ns)
    assert mismatch_rad < 1e-4


def test_mismatch_is_the_distance_from_what_was_commanded(stack: Stack) -> None:
    """The arms hold at once, while the rows go on by 0.05 rad in 160 ms."""
    stack.send(moving(100, START[0]))
    stack.run(800)
    rows = stack.mirror.upcoming(1260 * MS, RATE_HZ, 6)
    pose = stack.playback.safety.pose[0]
    stack.run(620, hold='camera is silent')
    mismatch_rad = stack.mirror.mismatch_rad(rows, 1260 * MS, RATE_HZ, stack.now_ns)
    gap_rad = START[0] + 0.05 * (6 + (stack.now_ms - 1260) / 160) - pose
    assert mismatch_rad == pytest.approx(gap_rad, abs=0.03)
    assert mismatch_rad > 0.1


@pytest.mark.parametrize('n_rows', [0, 2])
def test_too_few_rows_tell_no_mismatch(stack: Stack, n_rows: int) -> None:
    """The spline between two rows depends on four."""
    rows: NDArray[np.float32] = np.tile(START, (n_rows, 1)).astype(np.float32)
    assert np.isnan(stack.mirror.mismatch_rad(rows, 0, RATE_HZ, stack.now_ns))

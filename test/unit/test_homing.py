# SPDX-License-Identifier: Apache-2.0
"""The way to the start pose: as long as somebody presses, evenly, and at rest soon after."""

from __future__ import annotations

from cosmos_policy_ros.control.homing import BRAKE_S, Homing, PRESS_S, SPEED
from cosmos_policy_ros.types import ActionChunk
import numpy as np
from samples import ROBOT

START_NS, MS = 1_700_000_000_000_000_000, 1_000_000
HELD = np.where(ROBOT.arm_joints, ROBOT.start + 0.4, 0.2).astype(np.float32)


class Arms:
    """Arms that play the newest chunk to its end and hold."""

    def __init__(self) -> None:
        """Stand somewhere."""
        self._homing, self._chunk = Homing(ROBOT), ActionChunk(0, HELD[None], 50.0)

    def pose(self, at_ms: int) -> np.ndarray:
        """Return the (A,) pose that is commanded at a time."""
        row = round((START_NS + at_ms * MS - self._chunk.stamp_ns) * 1e-9 * self._chunk.rate_hz)
        return self._chunk.positions[min(row, len(self._chunk.positions) - 1)]

    def press(self, at_ms: int, held: np.ndarray | None = None) -> ActionChunk | None:
        """Press at a time; the arms are where they were sent unless something held them."""
        held = self.pose(at_ms) if held is None else held
        chunk = self._homing.press(held, START_NS + at_ms * MS)
        self._chunk = chunk or self._chunk
        return chunk


def test_a_tap_moves_nothing() -> None:
    """A way begins at rest for longer than one press lasts."""
    chunk = Arms().press(0)
    assert chunk is not None
    assert len(chunk.positions) == round((PRESS_S + BRAKE_S) * ROBOT.control_rate_hz) + 1
    np.testing.assert_allclose(chunk.positions, np.tile(HELD, (len(chunk.positions), 1)))


def test_presses_of_one_way_agree_where_they_meet_and_each_ends_at_rest() -> None:
    """Every 100 ms, up to a press that comes late, just in time."""
    arms = Arms()
    for at_ms in (*range(0, 1400, 100), 1540):
        before = arms.pose(at_ms)
        chunk = arms.press(at_ms)
        assert chunk is not None
        np.testing.assert_allclose(before, chunk.positions[0], atol=1e-6)
        speeds = np.diff(chunk.positions, axis=0) * chunk.rate_hz
        assert np.abs(speeds).max() <= SPEED + 1e-3
        assert np.abs(speeds[-1]).max() < 0.05
    assert np.abs(arms.pose(1540) - HELD).max() > 0.05


def test_it_arrives_and_stays_with_the_grippers_last() -> None:
    """At the start pose of the robot file."""
    arms, grippers = Arms(), ~ROBOT.arm_joints
    for at_ms in range(0, 12000, 100):
        arms.press(at_ms)
        pose = arms.pose(at_ms)
        are_there = np.abs(pose - ROBOT.start)[ROBOT.arm_joints].max() < 1e-3
        assert are_there or np.abs(pose - HELD)[grippers].max() < 1e-3
    np.testing.assert_allclose(arms.pose(13000), ROBOT.start, atol=1e-5)


def test_a_press_after_a_pause_begins_a_new_way_from_where_the_arms_are() -> None:
    """And so does one after the clock was set back."""
    arms = Arms()
    for at_ms in range(0, 1500, 100):
        arms.press(at_ms)
    rest = arms.pose(2400)
    for at_ms in (2400, 0):
        chunk = arms.press(at_ms, rest)
        assert chunk is not None
        np.testing.assert_allclose(chunk.positions[-1], rest, atol=1e-6)


def test_arms_that_were_held_on_the_way_are_not_made_to_catch_up() -> None:
    """Somebody presses on all the while; the way begins anew where they stand."""
    arms = Arms()
    for at_ms in range(0, 1500, 100):
        arms.press(at_ms)
    stood = arms.pose(1500)
    for at_ms in range(1500, 2100, 100):
        chunk = arms.press(at_ms, stood)
        assert chunk is not None
        assert np.abs(chunk.positions[0] - stood).max() <= 0.05 + 1e-6


def test_a_key_that_repeats_fast_makes_no_more_chunks_than_the_executor_takes() -> None:
    """Thirty presses a second, of which those 50 ms apart count."""
    arms = Arms()
    n = sum(arms.press(at_ms) is not None for at_ms in range(0, 1000, 33))
    assert 14 <= n <= 20

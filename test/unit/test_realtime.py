# SPDX-License-Identifier: Apache-2.0
"""The scene shows the time of the clock, whatever the caller's rhythm."""

from __future__ import annotations

from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.realtime import RealTime
import numpy as np
import pytest

MS = 1_000_000
START = np.array([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.1] * 2, np.float32)


@pytest.fixture
def scene() -> RealTime:
    """Return a scene that was reset at 10 s."""
    scene = RealTime(AlohaSim(), START, max_lag_s=0.5)
    scene.reset(3, 10_000 * MS)
    return scene


def test_scene_is_stepped_up_to_now(scene: RealTime) -> None:
    """25 ms are 12 steps of 2 ms; the rest waits for the next call."""
    scene.advance(10_025 * MS)
    assert (scene.n_steps, scene.stamp_ns) == (12, 10_024 * MS)
    assert scene.sim.data.time == pytest.approx(0.024)


def test_rhythm_of_the_calls_does_not_change_the_physics(scene: RealTime) -> None:
    """One long step equals many short ones."""
    other = RealTime(AlohaSim(), START, max_lag_s=0.5)
    other.reset(3, 0)
    for ms in range(0, 201, 7):
        other.advance(ms * MS)
    other.advance(200 * MS)
    scene.advance(10_200 * MS)
    np.testing.assert_array_equal(scene.sim.data.qpos, other.sim.data.qpos)


def test_command_acts_from_now_on(scene: RealTime) -> None:
    """What passed before the command is simulated with the target before it."""
    scene.command(0, np.array([0.5]), 10_020 * MS)
    assert scene.stamp_ns == 10_020 * MS
    assert scene.sim.proprio[0] == pytest.approx(0.0, abs=1e-3)
    scene.advance(10_400 * MS)
    assert scene.sim.proprio[0] > 0.3


def test_command_changes_only_its_joints(scene: RealTime) -> None:
    """The other arm keeps its target."""
    scene.command(7, np.full(7, 0.25), 10_000 * MS)
    np.testing.assert_array_equal(scene.target[:7], START[:7])
    np.testing.assert_array_equal(scene.target[7:], np.full(7, 0.25))


def test_long_stall_is_skipped_and_counted(scene: RealTime) -> None:
    """Of 3 s only the allowed lag is caught up with."""
    assert scene.advance(13_000 * MS) == 2_500 * MS
    assert (scene.stamp_ns, scene.skipped_ns) == (13_000 * MS, 2_500 * MS)
    assert scene.sim.data.time == pytest.approx(0.5)


def test_scene_goes_on_after_the_clock_was_set_back(scene: RealTime) -> None:
    """As a driver does, and not only once it is as late as before; what happened stays so."""
    scene.advance(10_020 * MS)
    scene.advance(9_000 * MS)
    assert (scene.n_steps, scene.stamp_ns) == (10, 9_000 * MS)
    scene.advance(9_040 * MS)
    assert (scene.n_steps, scene.stamp_ns) == (30, 9_040 * MS)
    assert scene.sim.data.time == pytest.approx(0.06)


def test_scene_waits_for_a_clock_that_went_back_a_little(scene: RealTime) -> None:
    """Its time never runs backwards by less than what it may lag."""
    scene.advance(9_600 * MS)
    assert (scene.n_steps, scene.stamp_ns) == (0, 10_000 * MS)


def test_reset_holds_the_start_pose(scene: RealTime) -> None:
    """The last command does not outlive a reset."""
    scene.command(0, np.array([0.5]), 10_020 * MS)
    scene.reset(4, 10_020 * MS)
    np.testing.assert_array_equal(scene.target, START)
    assert scene.sim.data.time == 0.0

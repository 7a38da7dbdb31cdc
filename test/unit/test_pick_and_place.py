# SPDX-License-Identifier: Apache-2.0
"""The script that puts one thing into another, in a world of a few numbers."""

from __future__ import annotations

from itertools import pairwise

from cosmos_policy_ros.sim.experts.pick_and_place import PickAndPlace, rotation_between
from hand_world import DOWN, HandWorld
import numpy as np
import pytest

ROW_S, STEPS = 0.1, 2  # of a row, at the twenty steps a second of the world


def perform(
    world: HandWorld, seed: int = 0, disturbed: bool = False, rows: int = 140
) -> tuple[PickAndPlace, list[str], np.ndarray, np.ndarray]:
    """Play the script; return it, its phases, its (n,) expert flags and its (n, 7) rows."""
    world.reset(seed)
    script = PickAndPlace(
        world, 'cup', 'basket', np.random.default_rng(seed), ROW_S, disturbed=disturbed
    )
    phases, flags, played = [], [], []
    while len(played) < rows and script.rested_s <= 1.0:
        played.append(script.action())
        phases.append(script.phase)
        flags.append(script.expert)
        for _ in range(STEPS):
            world.step(played[-1])
    return script, phases, np.array(flags), np.array(played)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_undisturbed_script_succeeds_within_the_time_of_a_trial(seed: int) -> None:
    """Fourteen seconds, as LIBERO gives; every row is one to imitate, none is out of range."""
    world = HandWorld()
    script, phases, flags, rows = perform(world, seed)
    assert world.success
    assert list(dict.fromkeys(phases)) == [
        'reach', 'lower', 'grasp', 'lift', 'carry', 'release', 'rest',
    ]  # fmt: skip
    assert flags.all()
    assert len(rows) < 100
    assert np.abs(rows).max() <= 1.0
    assert script.rested_s > 1.0


def test_script_stays_still_with_open_fingers_once_it_is_done() -> None:
    """What a policy repeats beyond the end of an episode is this row."""
    _, phases, _, rows = perform(HandWorld())
    assert phases[-10:] == ['rest'] * 10
    assert rows[-10:].tolist() == [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0]] * 10


def test_pushed_script_recovers_and_marks_the_pushes() -> None:
    """A push is not to be imitated; what follows turns the hand upright again too."""
    pushed = 0
    for seed in range(8):
        world = HandWorld()
        _, _, flags, _ = perform(world, seed, disturbed=True)
        assert world.success, seed
        assert np.abs(rotation_between(world.turn, DOWN)).max() < 0.2
        pushed += int((~flags).sum())
    assert 10 < pushed < 200


def test_thing_that_slips_is_picked_up_again() -> None:
    """The hand goes up with open fingers first, then over it."""
    world = HandWorld(slips=1)
    _, phases, _, _ = perform(world)
    assert world.slipped == 1
    assert world.success
    changes = [phases[0], *(b for a, b in pairwise(phases) if a != b)]
    assert changes.count('reach') == changes.count('grasp') == 2


def test_fingers_keep_off_what_a_flat_thing_lies_on() -> None:
    """They reach a centimetre below the place of the hand."""
    world = HandWorld(tall_m=0.018)
    perform(world)
    assert world.success
    assert world.lowest_m > 0.01


def test_tall_thing_is_grasped_near_its_top_and_carried_over_the_rim() -> None:
    """The palm is three centimetres over the grasp."""
    world = HandWorld(tall_m=0.15)
    _, phases, _, _ = perform(world)
    assert world.success
    assert world.lowest_m == pytest.approx(0.15 - 0.025, abs=0.006)
    assert phases.count('lower') < 15


def test_rotation_between_orientations_is_that_of_the_world() -> None:
    """A tenth of a radian about each axis; the sign of a quaternion means nothing."""
    for axis in range(3):
        turned = np.zeros(4)
        turned[axis], turned[3] = np.sin(0.05), np.cos(0.05)
        still = np.array([0.0, 0.0, 0.0, 1.0])
        want = np.eye(3)[axis] * 0.1
        np.testing.assert_allclose(rotation_between(still, turned), want, atol=1e-4)
        np.testing.assert_allclose(rotation_between(still, -turned), want, atol=1e-4)

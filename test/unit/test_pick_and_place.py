# SPDX-License-Identifier: Apache-2.0
"""The script that puts one thing into another, in a world of a few numbers."""

from __future__ import annotations

from itertools import pairwise

from cosmos_policy_ros.sim.experts.pick_and_place import PickAndPlace, rotation_between
from hand_world import BASKET, DOWN, HandWorld, WIDE_M
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
        'reach', 'lower', 'grasp', 'lift', 'carry', 'place', 'release', 'rest',
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


def test_hand_comes_down_in_a_cone_over_the_thing() -> None:
    """From the side it is never so low that it would push over what it comes down to."""
    world = HandWorld(tall_m=0.15)
    world.reset(0)
    script = PickAndPlace(world, 'cup', 'basket', np.random.default_rng(0), ROW_S, disturbed=False)
    heights = {}
    while script.phase in ('reach', 'lower'):
        beside = float(np.linalg.norm((world.hand - world.cup)[:2]))
        heights[beside] = world.hand[2] - world.cup[2]
        for _ in range(STEPS):
            world.step(script.action())
    assert min(height for beside, height in heights.items() if beside > 0.05) > 0.15 + 0.011
    assert min(height for beside, height in heights.items() if beside > 0.03) > 0.15
    on_the_way = [height for beside, height in heights.items() if 0.012 < beside < 0.05]
    assert len(on_the_way) >= 2  # it does not stop above first
    assert max(on_the_way) - min(on_the_way) > 0.02


def test_hand_that_is_pushed_aside_low_goes_up_before_it_comes_back() -> None:
    """Farther beside the thing than the cone is wide, at the height of a grasp."""
    world = HandWorld()
    world.reset(0)
    script = PickAndPlace(world, 'cup', 'basket', np.random.default_rng(0), ROW_S, disturbed=False)
    world.hand = world.cup + np.array([0.08, 0.0, 0.06])
    rows = [script.action() for _ in range(2)]
    assert script.phase == 'reach'
    assert [row[2] > 0.9 for row in rows] == [True, True]
    assert np.abs(np.array(rows)[:, :2]).max() < 1e-6


def test_fingers_open_before_they_come_down() -> None:
    """After a grasp that held nothing they would press on the thing else."""
    world = HandWorld()
    world.reset(0)
    script = PickAndPlace(world, 'cup', 'basket', np.random.default_rng(0), ROW_S, disturbed=False)
    world.hand, world.opening = world.cup + np.array([0.0, 0.0, 0.2]), 0.0
    heights, openings = [], []
    while script.phase in ('reach', 'lower'):
        heights.append(world.hand[2])
        openings.append(world.opening)
        for _ in range(STEPS):
            world.step(script.action())
    lowest_while_closed = min(
        height for height, opening in zip(heights, openings, strict=True) if opening < WIDE_M
    )
    assert openings[0] == 0.0
    assert lowest_while_closed == pytest.approx(heights[0])
    assert min(heights) < heights[0] - 0.05


@pytest.mark.parametrize('tall_m', [0.03, 0.1, 0.15])
def test_thing_is_let_go_below_the_rim(tall_m: float) -> None:
    """Dropped from above it may bounce out of the basket."""
    world = HandWorld(tall_m=tall_m)
    perform(world)
    assert world.success
    assert 0.0 < world.fell_m < BASKET[1, 2]


def test_rotation_between_orientations_is_that_of_the_world() -> None:
    """A tenth of a radian about each axis; the sign of a quaternion means nothing."""
    for axis in range(3):
        turned = np.zeros(4)
        turned[axis], turned[3] = np.sin(0.05), np.cos(0.05)
        still = np.array([0.0, 0.0, 0.0, 1.0])
        want = np.eye(3)[axis] * 0.1
        np.testing.assert_allclose(rotation_between(still, turned), want, atol=1e-4)
        np.testing.assert_allclose(rotation_between(still, -turned), want, atol=1e-4)

# SPDX-License-Identifier: Apache-2.0
"""The time of a query is learnt from few queries, and from changing ones."""

from __future__ import annotations

from cosmos_policy_ros.core.latency_model import LatencyModel
import numpy as np
import pytest

MEASURED = ((1, 1), (1, 5), (4, 5), (1, 1), (1, 5), (4, 5))  # as a node does at its start


def seconds(candidates: int, steps: int) -> float:
    """Return 20 ms, for every step 5 ms, and 10 ms for every step of a candidate."""
    return 0.02 + steps * (0.005 + 0.01 * candidates)


def measured() -> LatencyModel:
    """Return a model of a machine without jitter."""
    model = LatencyModel()
    for n, steps in MEASURED:
        model.note(n, steps, seconds(n, steps))
    return model


def test_three_different_queries_are_enough() -> None:
    """They have one solution."""
    model = LatencyModel()
    for n, steps in MEASURED[:3]:
        model.note(n, steps, seconds(n, steps))
    assert model.a_s == pytest.approx(0.02, abs=1e-5)
    assert model.b_s == pytest.approx(0.01, abs=1e-6)
    assert model.c_s == pytest.approx(0.005, abs=1e-5)
    assert model.predict(2, 3) == pytest.approx(0.095, abs=1e-5)
    assert model.jitter_s(4, 5) == pytest.approx(0.02 * 0.245, rel=1e-3)


def test_two_different_queries_are_sensible() -> None:
    """Both are met, and what lies between them lies between them."""
    model = LatencyModel()
    model.note(1, 1, 0.04)
    model.note(4, 5, 0.24)
    assert model.predict(1, 1) == pytest.approx(0.04, abs=1e-4)
    assert model.predict(4, 5) == pytest.approx(0.24, abs=1e-4)
    assert 0.04 < model.predict(1, 5) < model.predict(2, 5) < 0.24


def test_one_query_makes_time_proportional() -> None:
    """Half the candidates take half the time, until more is known."""
    model = LatencyModel()
    model.note(4, 5, 0.2)
    assert model.predict(4, 5) == pytest.approx(0.2, rel=1e-3)
    assert model.predict(2, 5) == pytest.approx(0.1, rel=0.1)


def test_before_the_first_query_everything_is_tried() -> None:
    """Nothing is known that would speak against it."""
    model = LatencyModel()
    assert np.isnan([model.a_s, model.b_s, model.c_s, model.predict(1, 1)]).all()
    assert model.afford(0.0, 4, 5, 2) == (4, 5, 2)


def test_a_thousand_equal_queries_leave_what_is_known_of_others() -> None:
    """The price of a step was seen at the start only."""
    model = measured()
    for _ in range(1000):
        model.note(4, 5, 0.245)
    assert model.predict(1, 1) == pytest.approx(0.035, rel=0.01)
    assert model.predict(4, 5) == pytest.approx(0.245, rel=0.001)


def test_nothing_but_equal_queries_is_sensible() -> None:
    """They are predicted as they are, with their jitter, and fewer candidates as cheaper."""
    model = LatencyModel()
    numbers = np.random.default_rng(0)
    for _ in range(200):
        model.note(4, 5, 0.2 + 0.01 * numbers.standard_normal())
    assert model.predict(4, 5) == pytest.approx(0.2, abs=0.01)
    assert 0.0 < model.predict(1, 5) < 0.1
    assert 0.004 < model.jitter_s(4, 5) < 0.03


def test_one_outlier_is_hardly_believed() -> None:
    """A stall of a second in one query; the next ones are asked in full."""
    model = measured()
    for _ in range(20):
        model.note(4, 5, 0.245)
    model.note(4, 5, 1.2)
    assert model.predict(4, 5) < 0.25
    assert model.jitter_s(4, 5) < 0.01


def test_a_machine_that_stays_slow_is_learnt() -> None:
    """Three times slower from one query to the next, and as fast again as before."""
    model = measured()
    for _ in range(4):
        model.note(4, 5, 0.735)
    assert model.predict(4, 5) == pytest.approx(0.735, rel=0.1)
    assert model.predict(1, 5) == pytest.approx(0.285, rel=0.1)
    for _ in range(4):
        model.note(4, 5, 0.245)
    assert model.predict(4, 5) == pytest.approx(0.245, rel=0.1)


def test_small_queries_tell_when_large_ones_fit_again() -> None:
    """A machine that was busy for a while is asked for four candidates soon after."""
    model = measured()
    for _ in range(20):
        n, steps, _ = model.afford(0.3, 4, 5)
        model.note(n, steps, 7 * seconds(n, steps))
    assert model.afford(0.3, 4, 5) == (1, 1, 1)
    for _ in range(5):
        n, steps, _ = model.afford(0.3, 4, 5)
        model.note(n, steps, seconds(n, steps))
    assert model.afford(0.3, 4, 5) == (4, 5, 1)


def test_networks_that_change_are_learnt_in_time() -> None:
    """From 10 to 20 ms a candidate and step, with queries of three sizes in turn."""
    model = measured()
    for i in range(300):
        n = (1, 2, 4)[i % 3]
        model.note(n, 5, seconds(n, 5) + 0.01 * n * 5)
    assert model.predict(4, 5) == pytest.approx(0.445, rel=0.05)
    assert model.predict(1, 5) == pytest.approx(0.145, rel=0.15)


def test_jitter_is_the_standard_deviation() -> None:
    """Of 20 ms here, within what a memory of a few queries allows."""
    model, numbers, seen = measured(), np.random.default_rng(1), []
    for _ in range(300):
        model.note(4, 5, 0.245 + 0.02 * numbers.standard_normal())
        seen.append(model.jitter_s(4, 5))
    assert np.median(seen[50:]) == pytest.approx(0.02, rel=0.3)


@pytest.mark.parametrize(
    ('budget_s', 'afforded'),
    [(1.0, (4, 5)), (0.21, (4, 4)), (0.16, (4, 2)), (0.1, (3, 2)), (0.07, (1, 2)), (0.0, (1, 1))],
)
def test_two_steps_are_enough_for_all_candidates(
    budget_s: float, afforded: tuple[int, int]
) -> None:
    """Then candidates are given up; one of each is always left."""
    assert measured().afford(budget_s, 4, 5) == (*afforded, 1)


@pytest.mark.parametrize(
    ('budget_s', 'afforded'),
    [
        (1.0, (4, 5, 2)),  # 470 ms
        (0.41, (4, 4, 2)),  # 380 ms
        (0.22, (4, 2, 2)),  # 200 ms
        (0.19, (4, 2, 1)),  # 110 ms
        (0.1, (3, 2, 1)),
        (0.0, (1, 1, 1)),
    ],
)
def test_depth_costs_its_steps_and_is_given_up_before_candidates(
    budget_s: float, afforded: tuple[int, int, int]
) -> None:
    """Two chunks of four candidates take the time of twice the steps, and the images of one."""
    assert measured().afford(budget_s, 4, 5, 2) == afforded


def test_noise_makes_no_time_negative() -> None:
    """More candidates and steps never take less."""
    model = LatencyModel()
    for n, steps in MEASURED[:3]:
        model.note(n, steps, 0.2 / n)
    assert (model.b_s, model.predict(4, 5)) == (0.0, model.predict(1, 5))

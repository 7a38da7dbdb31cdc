# SPDX-License-Identifier: Apache-2.0
"""Figures of merit on numbers whose answer is known."""

from __future__ import annotations

from cosmos_policy_ros.metrics import (
    auc,
    calibration,
    difference_interval,
    intervention_figures,
    mcnemar,
    mean_interval,
    percentiles,
    psnr_db,
    psnr_of_error_db,
    rounded_percentiles,
    seam_figures,
    wilson_interval,
)
import numpy as np
import pytest


def test_wilson_interval_of_70_in_100() -> None:
    """The textbook value."""
    assert wilson_interval(70, 100) == pytest.approx((0.6042, 0.7811), abs=1e-4)


def test_wilson_interval_of_none_and_all_stays_inside_0_and_1() -> None:
    """The interval is not a point at the ends."""
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_auc_counts_ordered_pairs_and_half_the_ties() -> None:
    """Three of four pairs are in order, one is a tie."""
    outcomes = np.array([True, True, False, False])
    assert auc(np.array([0.9, 0.5, 0.5, 0.1]), outcomes) == 0.875


def test_auc_needs_both_outcomes() -> None:
    """Without a failure there is nothing to rank."""
    assert auc(np.array([0.9, 0.5]), np.array([True, True])) is None


def test_exact_probability_of_an_uneven_split() -> None:
    """Ten coins on one side: 2 / 1024; none differ: no evidence at all."""
    assert mcnemar(10, 0) == pytest.approx(2 / 1024)
    assert mcnemar(0, 0) == 1.0


def test_interval_of_a_difference_on_the_same_scenes() -> None:
    """25 points on 40 scenes of which 14 differ, and none of 10, which is still no point."""
    assert difference_interval(12, 2, 40) == pytest.approx((0.0659, 0.4103), abs=1e-4)
    assert difference_interval(0, 0, 10) == pytest.approx((-0.2310, 0.2310), abs=1e-4)
    assert difference_interval(1, 0, 1) == pytest.approx((-0.7335, 1.0), abs=1e-4)


def test_interval_of_a_mean_stays_in_its_range() -> None:
    """Half of it is 1.96 standard errors; one number has none."""
    assert mean_interval([0.5, 0.6, 0.7], 0.0, 1.0) == pytest.approx((0.4868, 0.7132), abs=1e-4)
    assert mean_interval([1.0, 1.0, 1.0, 0.0], 0.0, 1.0) == pytest.approx((0.26, 1.0))
    assert mean_interval([0.5], 0.0, 1.0) is None


def test_psnr_of_a_known_error() -> None:
    """An error of 16 of 255 everywhere is 24.05 dB."""
    a = np.full((2, 4, 4, 3), 100, np.uint8)
    assert psnr_db(a, a + 16) == 24.05


def test_psnr_of_equal_images_is_not_a_number() -> None:
    """Infinity does not go into JSON."""
    a = np.zeros((1, 4, 4, 3), np.uint8)
    assert psnr_db(a, a) is None


def test_psnr_of_a_tenth_of_the_range_is_20_db() -> None:
    """Whatever the range: a tenth of it is a hundredth of its square."""
    assert psnr_of_error_db(0.04, peak=2.0) == pytest.approx(20.0)


def test_calibration_is_the_gap_between_prediction_and_return() -> None:
    """Half the samples promise 0.95 and bring 0.75, the others keep their word."""
    values = np.array([0.95, 0.95, 0.05, 0.05], np.float32)
    returns = np.array([1.0, 0.5, 0.05, 0.05], np.float32)
    assert calibration(values, returns) == 0.1


def test_value_that_is_right_on_average_is_calibrated() -> None:
    """Success or failure is a coin; one half is the honest prediction."""
    values = np.full(4, 0.5, np.float32)
    assert calibration(values, np.array([0, 1, 1, 0], np.float32)) == 0.0


def test_percentiles_of_a_hundred_and_one_numbers() -> None:
    """Median, the one above 99 of 100, and the largest."""
    assert percentiles(range(101)) == {'p50': 50.0, 'p99': 99.0, 'max': 100.0}


def test_percentiles_of_no_numbers_are_not_numbers() -> None:
    """A status shows NaN; a file of figures has null, since JSON has no NaN."""
    assert all(np.isnan(value) for value in percentiles([]).values())
    assert rounded_percentiles([]) == {'p50': None, 'p99': None}


def test_percentiles_of_a_file_have_two_decimals() -> None:
    """Microseconds of a query in milliseconds mean nothing."""
    assert rounded_percentiles([1.23456, 1.23456]) == {'p50': 1.23, 'p99': 1.23}


def test_seam_jumps_of_a_file_have_four_decimals() -> None:
    """A hundredth of a degree is less than a motor resolves."""
    assert seam_figures([0.0, 0.00514159]) == {'p50': 0.0026, 'p99': 0.0051, 'max': 0.0051}
    assert seam_figures([]) == {'p50': None, 'p99': None, 'max': None}


def test_interventions_add_up_over_episodes() -> None:
    """The most frequent reason comes first."""
    assert intervention_figures([{'a': 1, 'b': 1}, {}, {'b': 3}]) == {
        'interventions': 5,
        'interventions_per_episode': 1.67,
        'intervention_reasons': {'b': 4, 'a': 1},
    }
    assert intervention_figures([])['interventions_per_episode'] is None

# SPDX-License-Identifier: Apache-2.0
"""The figures of an evaluation."""

from cosmos_policy_ros.cli.evaluate import auc, wilson_interval
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
    assert auc([0.9, 0.5, 0.5, 0.1], [True, True, False, False]) == 0.875


def test_auc_needs_both_outcomes() -> None:
    """Without a failure there is nothing to rank."""
    assert auc([0.9, 0.5], [True, True]) is None

# SPDX-License-Identifier: Apache-2.0
"""A value says that a task is done only after it fell and then held."""

from __future__ import annotations

from collections.abc import Iterable
import math

from cosmos_policy_ros.control.done import DoneWatch

NS = 800_000_000  # between two choices


def first_done(values: Iterable[float], watch: DoneWatch | None = None) -> int | None:
    """Return the number of the value at which the task is done, None for never."""
    watch = watch or DoneWatch()
    done = (i for i, value in enumerate(values) if watch.note(value, i * NS))
    return next(done, None)


def test_a_high_value_from_the_start_says_nothing() -> None:
    """Arms at rest look like arms that have finished."""
    assert first_done([0.99] * 20) is None
    assert first_done([0.8, *[0.99] * 20]) is None


def test_a_value_that_fell_and_then_held_for_three_seconds_is_done() -> None:
    """High from the third on: the seventh comes 3.2 s later."""
    assert first_done([0.9, 0.5, 0.95, 0.94, 0.99, 0.95, 0.96, 0.97]) == 6


def test_a_value_that_falls_again_begins_anew() -> None:
    """It need not fall as low as in the middle of the task."""
    assert first_done([0.5, 0.95, 0.95, 0.95, 0.93, 0.95, 0.95, 0.95]) is None
    assert first_done([0.5, 0.95, 0.95, 0.95, 0.93, *[0.95] * 5]) == 9


def test_a_value_that_is_not_known_is_not_high() -> None:
    """Nor has it fallen."""
    assert first_done([math.nan, *[0.95] * 8]) is None
    assert first_done([0.5, 0.95, 0.95, math.nan, 0.95, 0.95, 0.95, 0.95]) is None


def test_after_a_restart_it_has_to_fall_again() -> None:
    """What a person did meanwhile is not the policy's."""
    watch = DoneWatch()
    assert first_done([0.5, 0.95, 0.95], watch) is None
    watch.restart()
    assert first_done([0.95] * 8, watch) is None

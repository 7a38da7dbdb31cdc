# SPDX-License-Identifier: Apache-2.0
"""Denoising ends where the next step would come too late."""

from __future__ import annotations

from cosmos_policy_ros.core.deadline import Deadline


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        """Begin at 100 s."""
        self.now_s = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def notes(deadline: Deadline, clock: Clock, times_s: list[float]) -> list[bool]:
    """Return what is said after steps of these times."""
    said = []
    for time_s in times_s:
        clock.now_s += time_s
        said.append(deadline.note_step())
    return said


def test_ends_before_the_step_that_would_not_fit() -> None:
    """Of 1 s, three steps of 0.3 s are made; a fourth would end at 1.2 s."""
    clock = Clock()
    deadline = Deadline(1.0, clock)
    assert notes(deadline, clock, [0.3, 0.3, 0.3]) == [False, False, True]
    assert deadline.steps == 3


def test_time_before_the_first_step_counts() -> None:
    """Images are encoded before it; the budget runs already, the step has not begun."""
    clock = Clock()
    deadline = Deadline(1.0, clock)
    clock.now_s += 0.5
    deadline.start_stage()
    assert notes(deadline, clock, [0.2, 0.2]) == [False, True]


def test_slowest_step_stands_for_the_next() -> None:
    """A neighbour that got busy once may do so again."""
    clock = Clock()
    deadline = Deadline(1.0, clock)
    assert notes(deadline, clock, [0.1, 0.4, 0.2]) == [False, False, True]


def test_room_is_left_for_the_stages_behind() -> None:
    """Two steps behind: after one of 0.3 s another one would end the answer at 1.2 s."""
    clock = Clock()
    deadline = Deadline(1.0, clock)
    deadline.start_stage(steps_behind=2)
    assert notes(deadline, clock, [0.3]) == [True]
    deadline.start_stage()
    assert notes(deadline, clock, [0.3, 0.3]) == [False, True]


def test_without_a_budget_nothing_ends() -> None:
    """Steps are counted all the same, from 0 in every stage."""
    clock = Clock()
    deadline = Deadline(None, clock)
    assert notes(deadline, clock, [1e6, 1e6]) == [False, False]
    assert (deadline.is_set, deadline.steps) == (False, 2)
    deadline.start_stage()
    assert deadline.steps == 0

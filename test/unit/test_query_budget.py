# SPDX-License-Identifier: Apache-2.0
"""A query gives up what there is no time for, in the order that costs least."""

from __future__ import annotations

import time

from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.core.query_budget import QueryBudget

STEPS = 5
WANTED = PlanQuery(candidates=4, depth=2, keep=(4, 2), seed=7)


def seconds(candidates: int, steps: int) -> float:
    """Return 20 ms, for every step 5 ms, and 10 ms for every step of a candidate."""
    return 0.02 + steps * (0.005 + 0.01 * candidates)


def measured(may_reduce: bool = True) -> QueryBudget:
    """Return a budget on a machine without jitter: 470 ms for all that is wanted."""
    budget = QueryBudget(WANTED, STEPS, may_reduce)
    for n, steps in ((1, 1), (1, 5), (4, 5), (4, 10)) * 2:
        budget.model.note(n, steps, seconds(n, steps))
    return budget


def size(query: PlanQuery) -> tuple[int, int | None, int]:
    """Return candidates, steps and depth of a query."""
    return query.candidates, query.steps, query.depth


def test_nothing_is_given_up_where_no_answer_is_too_late() -> None:
    """Nor does the answer depend on anything but the query then."""
    assert measured().fit(None) == WANTED


def test_what_fits_is_computed_whole_and_has_a_budget() -> None:
    """Less than the time there is, by what answers differ."""
    query = measured().fit(1.0)
    assert size(query) == (4, None, 2)
    assert query.budget_s is not None
    assert 0.97 < query.budget_s < 1.0


def test_steps_go_before_depth_and_depth_before_candidates() -> None:
    """With 10 ms to spare for every number."""
    budget = measured()
    assert size(budget.fit(0.45)) == (4, 4, 2)
    assert size(budget.fit(0.22)) == (4, 2, 2)
    assert size(budget.fit(0.15)) == (4, 2, 1)
    assert size(budget.fit(0.09)) == (2, 2, 1)
    assert size(budget.fit(0.01)) == (1, 1, 1)


def test_no_more_candidates_are_kept_than_there_are() -> None:
    """And for no more steps than are made."""
    budget = measured()
    assert budget.fit(0.09).keep == (2, 2)
    assert budget.fit(0.01).keep == (1,)


def test_a_given_query_stays_as_it_is_and_ends_in_time() -> None:
    """Whoever gives N wants N."""
    query = measured(may_reduce=False).fit(0.09)
    assert size(query) == (4, None, 2)
    assert query.budget_s is not None
    assert query.budget_s < 0.09
    assert measured(may_reduce=False).fit(-1.0).budget_s == 0.0


def test_an_answer_that_was_cut_short_is_noted_with_the_steps_that_it_took() -> None:
    """By its own word, which is none where nothing was cut."""
    budget = measured()
    whole = budget.note(WANTED, None, seconds(4, 10))
    short = budget.note(WANTED, 3, seconds(4, 6))
    assert (whole.steps, whole.is_reduced) == (5, False)
    assert (short.steps, short.is_reduced) == (3, True)
    assert budget.note(budget.fit(0.15), None, seconds(4, 2)).is_reduced
    assert 0.0 < short.jitter_s < whole.jitter_s


def test_measuring_meets_every_number_of_rows_first() -> None:
    """Some backends prepare them then; what is measured comes behind, twice."""
    answered: list[tuple[int, int | None, int]] = []

    def plan(query: PlanQuery) -> None:
        answered.append(size(query))
        time.sleep(1e-3)

    budget = QueryBudget(WANTED, STEPS, may_reduce=True)
    budget.measure(plan)
    assert answered[:4] == [(1, 1, 2), (2, 1, 2), (3, 1, 2), (4, 1, 2)]
    turn = [(1, 1, 1), (1, 1, 2), (1, None, 1), (1, None, 2), (4, None, 1), (4, None, 2)]
    assert answered[4:] == turn * 2
    assert budget.model.n == 12


def test_what_the_machine_can_afford_is_said_for_people() -> None:
    """All that is wanted, the least in full, and the least of all."""
    assert measured().describe() == (
        '4 candidates in 470 ms, which is a query every 0.47 s at most, 1 in 95 ms, 1 of one '
        'denoising step in 35 ms'
    )

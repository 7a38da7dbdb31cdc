# SPDX-License-Identifier: Apache-2.0
"""Answers of several inference nodes: who is waited for, for how long, and what is merged."""

from __future__ import annotations

from cosmos_policy_ros.control.merging import CandidateMerger, Merged
from cosmos_policy_ros.types import Candidates
from hypothesis import given, strategies as st
import numpy as np
import pytest

MS = 1_000_000
MERGE_MS = 100
PERIOD_MS = 1000  # from query to query


def answer(stamp_ms: int, first: float = 0.0, horizon: int = 4, n: int = 1) -> Candidates:
    """Return an answer of n candidates whose positions and values begin with a number."""
    numbers = (first + np.arange(n, dtype=np.float32))[:, None]
    return Candidates(
        stamp_ms * MS,
        np.tile(numbers[:, :, None], (1, horizon, 2)),
        np.clip(numbers, 0.0, 1.0),
        np.zeros((n, 2), np.float32),
    )


def started(n_expected: int, now_ms: int = 0) -> CandidateMerger:
    """Return a merger that waits at most 100 ms."""
    merger = CandidateMerger(MERGE_MS * 1e-3)
    merger.start(now_ms * MS, n_expected)
    return merger


def add(
    merger: CandidateMerger, stamp_ms: int, at_ms: int, n_publishers: int = 2
) -> Merged | None:
    """Let an answer to the query of a stamp arrive."""
    return merger.add(answer(stamp_ms), 25.0, at_ms * MS, n_publishers)


def take_all(merger: CandidateMerger, at_ms: int) -> list[Merged]:
    """Return everything that has waited long enough, in the order it comes."""
    taken = []
    while merged := merger.take_due(at_ms * MS):
        taken.append(merged)
    return taken


def play_query(
    merger: CandidateMerger, stamp_ms: int, latencies_ms: list[int], n_publishers: int
) -> tuple[int, int]:
    """Let inference nodes answer one query, ticking every 10 ms.

    Args:
        merger: Merger of the planner.
        stamp_ms: Stamp of the query [ms].
        latencies_ms: Time from query to answer of every node that answers [ms].
        n_publishers: Inference nodes on the ROS graph.

    Returns:
        Time from the query to the decision [ms], and the number of answers that were merged.
    """
    decisions = []
    for t_ms in range(0, PERIOD_MS, 10):
        now_ms = stamp_ms + t_ms
        merged = take_all(merger, now_ms)
        for _ in [x for x in latencies_ms if t_ms <= x < t_ms + 10]:
            decided = add(merger, stamp_ms, now_ms, n_publishers)
            merged += [decided] if decided else []
        decisions += [(t_ms, m.n_answers) for m in merged]
    (decision,) = decisions  # exactly one for a query
    return decision


def test_one_inference_node_is_not_waited_for() -> None:
    """Its answer is all there will be."""
    merged = add(started(1), 1000, 1300, n_publishers=1)
    assert merged is not None
    assert (merged.n_answers, merged.n_before, merged.rate_hz) == (1, 0, 25.0)


def test_answers_are_merged_in_the_order_of_arrival() -> None:
    """All candidates of both nodes compete, at the stamp of the query."""
    merger = started(2)
    assert merger.add(answer(1000, 0.1), 25.0, 1300 * MS, 2) is None
    merged = merger.add(answer(1000, 0.2, n=2), 25.0, 1310 * MS, 2)
    assert merged is not None
    assert merged.candidates.stamp_ns == 1000 * MS
    assert merged.candidates.positions[:, 0, 0].tolist() == pytest.approx([0.1, 0.2, 1.2])
    assert merged.candidates.values[:, 0].tolist() == pytest.approx([0.1, 0.2, 1.0])
    assert merged.candidates.future_proprio.shape == (3, 2)


def test_waiting_ends_after_merge_s() -> None:
    """100 ms after the first answer, whatever has come by then is played."""
    merger = started(2)
    add(merger, 1000, 1300)
    assert take_all(merger, 1399) == []
    (merged,) = take_all(merger, 1400)
    assert merged.n_answers == 1
    assert take_all(merger, 9000) == []


def test_answer_that_does_not_fit_the_first_is_refused_and_left_out() -> None:
    """Nodes with different checkpoints cannot be merged; the first one's answer is played."""
    merger = started(2)
    add(merger, 1000, 1300)
    with pytest.raises(ValueError, match='different horizons, values or rates'):
        merger.add(answer(1000, horizon=5), 25.0, 1310 * MS, 2)
    with pytest.raises(ValueError, match='different horizons, values or rates'):
        merger.add(answer(1000), 30.0, 1320 * MS, 2)
    (merged,) = take_all(merger, 1400)
    assert merged.n_answers == 1


def test_answer_from_before_the_start_is_ignored() -> None:
    """It belongs to the last episode."""
    merger = started(1, now_ms=2000)
    assert add(merger, 1990, 2100) is None
    assert take_all(merger, 9000) == []
    assert add(merger, 2010, 2100) is not None


def test_a_new_start_forgets_what_was_waited_for() -> None:
    """Neither answers nor counts of the last episode are left."""
    merger = started(2)
    add(merger, 1000, 1300)
    merger.start(1310 * MS, 1)
    assert take_all(merger, 9000) == []
    assert (merger.n_merged, merger.n_most, merger.shortfall) == (0, 0, '')


def test_decision_for_a_newer_query_drops_the_older_one() -> None:
    """A chunk that is already older than the running one would be refused anyway."""
    merger = started(2)
    add(merger, 1000, 1950)
    add(merger, 2000, 2010)
    assert add(merger, 2000, 2020) is not None
    assert take_all(merger, 9000) == []


def test_two_queries_that_are_due_come_oldest_first() -> None:
    """So that the newer chunk is the one that stays."""
    merger = started(2)
    add(merger, 2000, 2010)
    add(merger, 1000, 2020)
    assert [m.candidates.stamp_ns for m in take_all(merger, 2200)] == [1000 * MS, 2000 * MS]


def test_node_that_dies_is_waited_for_once() -> None:
    """It still counts on the ROS graph for a while; the figures show that it is missed."""
    merger = started(2)
    assert play_query(merger, 1000, [300, 320], 2) == (320, 2)
    assert play_query(merger, 2000, [300], 2) == (400, 1)
    assert merger.shortfall == '1 of 2 inference nodes answered in time'
    assert play_query(merger, 3000, [300], 2) == (300, 1)


def test_node_that_comes_back_is_merged_again() -> None:
    """Its first answer comes too late, from then on it is waited for."""
    merger = started(2)
    play_query(merger, 1000, [300, 320], 2)
    play_query(merger, 2000, [300], 1)
    assert play_query(merger, 3000, [300, 320], 2) == (300, 1)
    assert play_query(merger, 4000, [300, 320], 2) == (320, 2)
    assert merger.shortfall == ''


def test_node_that_is_always_too_slow_costs_merge_s_each_time() -> None:
    """It answers, so it may be in time again; merge_s bounds what that costs."""
    merger = started(2)
    decisions = [play_query(merger, 1000 * i, [300, 450], 2) for i in (1, 2, 3)]
    assert decisions == [(400, 1)] * 3
    assert merger.shortfall == '1 of 2 inference nodes answered in time'


def test_node_that_left_the_graph_is_not_waited_for() -> None:
    """Two answered last time, one publisher is left."""
    merger = started(2)
    play_query(merger, 1000, [300, 320], 2)
    assert play_query(merger, 2000, [300], 1) == (300, 1)


def test_more_nodes_than_expected_are_merged_from_the_next_query_on() -> None:
    """A third one that was just started is late once."""
    merger = started(2)
    assert play_query(merger, 1000, [300, 310, 330], 3) == (310, 2)
    assert play_query(merger, 2000, [300, 310, 330], 3) == (330, 3)


LATENCIES = st.lists(st.integers(100, 800), min_size=1, max_size=4)


@given(st.lists(LATENCIES, min_size=1, max_size=8))
def test_every_answered_query_is_decided_once_and_in_time(queries: list[list[int]]) -> None:
    """Whoever answers whenever: one decision, not later than 100 ms after the first answer."""
    merger = started(len(queries[0]))
    for i, latencies_ms in enumerate(queries, start=1):
        decided_ms, n_answers = play_query(merger, PERIOD_MS * i, latencies_ms, 4)
        first_ms = min(latencies_ms) // 10 * 10
        assert first_ms <= decided_ms <= first_ms + MERGE_MS
        assert 1 <= n_answers <= len(latencies_ms)
        in_time = sum(x // 10 * 10 < first_ms + MERGE_MS for x in latencies_ms)
        assert n_answers <= in_time
        assert merger.n_merged <= merger.n_most <= 4


@given(before=st.lists(LATENCIES, max_size=4), n=st.integers(1, 4))
def test_nodes_that_all_answer_at_once_are_all_merged_after_one_query(
    before: list[list[int]], n: int
) -> None:
    """Whatever happened before, the second query of a healthy stack has every answer."""
    merger = started(1)
    for i, latencies_ms in enumerate([*before, [300] * n], start=1):
        play_query(merger, PERIOD_MS * i, latencies_ms, 4)
    end_ms = PERIOD_MS * (len(before) + 2)
    assert play_query(merger, end_ms, [300] * n, n) == (300, n)

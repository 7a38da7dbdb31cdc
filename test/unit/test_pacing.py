# SPDX-License-Identifier: Apache-2.0
"""Queries leave early enough, one at a time, and a lost one does not stop the robot for ever."""

from __future__ import annotations

from cosmos_policy_ros.control.pacing import Pacer
import pytest

MS = 1_000_000


def started(latency_ms: int = 100, chunk_ms: int = 1200, replan_s: float = 0.4) -> Pacer:
    """Return a pacer whose query at 0 was answered after a while."""
    pacer = Pacer(replan_s, margin_s=0.2, timeout_s=1.0)
    pacer.start()
    pacer.note_query(0)
    pacer.note_answer(0, latency_ms * MS, chunk_ms * MS)
    return pacer


def test_nothing_is_asked_before_the_start() -> None:
    """An inactive planner leaves the networks alone."""
    assert not Pacer(0.4, 0.2, 1.0).due(0)


def test_first_query_is_due_at_once() -> None:
    """The arms wait for it."""
    pacer = Pacer(0.4, 0.2, 1.0)
    pacer.start()
    assert pacer.due(0)


def test_one_query_at_a_time() -> None:
    """While one is under way no other is due."""
    pacer = Pacer(0.4, 0.2, 1.0)
    pacer.start()
    pacer.note_query(0)
    assert not pacer.due(900 * MS)


def test_next_query_is_due_after_the_interval() -> None:
    """0.4 s after the last query, not after its answer."""
    pacer = started()
    assert (pacer.due(399 * MS), pacer.due(400 * MS)) == (False, True)


def test_short_chunk_is_followed_earlier() -> None:
    """A chunk of 500 ms must outlast an answer of 100 ms and a margin of 200 ms."""
    pacer = started(chunk_ms=500)
    assert (pacer.due(200 * MS), pacer.due(201 * MS)) == (False, True)


def test_slow_answers_make_queries_earlier() -> None:
    """With answers of 900 ms the query leaves 1100 ms before the end."""
    pacer = started(latency_ms=900, chunk_ms=2500, replan_s=10.0)
    assert (pacer.due(1400 * MS), pacer.due(1401 * MS)) == (False, True)


def test_lost_query_is_given_up() -> None:
    """An inference node that refuses or dies is asked again after the timeout."""
    pacer = started()
    pacer.note_query(400 * MS)
    assert (pacer.due(1399 * MS), pacer.due(1400 * MS)) == (False, True)
    assert pacer.n_unanswered == 1


def test_query_that_is_asked_again_goes_on_waiting() -> None:
    """However often it is repeated, the silence counts from the first."""
    pacer = started()
    pacer.note_query(400 * MS)
    assert pacer.due(1400 * MS)
    pacer.note_query(1400 * MS)
    assert pacer.waiting_s(1500 * MS) == pytest.approx(1.1)
    pacer.note_answer(1400 * MS, 1600 * MS, 3000 * MS)
    assert pacer.waiting_s(1700 * MS) == 0.0


def test_slow_network_is_not_given_up_too_early() -> None:
    """Patience grows with the measured latency, or every query would be asked twice."""
    pacer = started(latency_ms=900)
    pacer.note_query(1000 * MS)
    assert not pacer.due(2300 * MS)


def test_answer_to_an_older_query_counts_but_the_newer_is_still_under_way() -> None:
    """A late answer gives a chunk and a latency, and no second query leaves."""
    pacer = started()
    pacer.note_query(400 * MS)
    assert pacer.due(1400 * MS)
    pacer.note_query(1400 * MS)
    pacer.note_answer(400 * MS, 1500 * MS, 1600 * MS)
    assert not pacer.due(1500 * MS)
    assert pacer.waiting_s(1500 * MS) == pytest.approx(0.1)


def test_stop_forgets_the_chunk_and_keeps_the_latencies() -> None:
    """The next episode starts with a query and what is known of the network."""
    pacer = started()
    pacer.stop()
    pacer.start()
    assert pacer.due(500 * MS)
    assert pacer.latency_s(99.0) == pytest.approx(0.1)

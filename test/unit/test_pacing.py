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


def test_a_pacer_that_waits_asks_when_the_chunk_was_played() -> None:
    """Its last row is held as long as the others, however slow answers are."""
    pacer = Pacer(0.4, margin_s=0.2, timeout_s=1.0, waits=True)
    pacer.start()
    assert pacer.due(0)
    pacer.note_query(0)
    pacer.note_answer(0, 900 * MS, 2500 * MS, row_s=0.04, chunk_s=1.6)
    assert [pacer.due(t * MS) for t in (400, 2499, 2539, 2540)] == [False, False, False, True]


def test_slow_answers_make_queries_earlier() -> None:
    """With answers of 900 ms the query leaves 1100 ms before the end."""
    pacer = started(latency_ms=900, chunk_ms=2500, replan_s=10.0)
    assert (pacer.due(1400 * MS), pacer.due(1401 * MS)) == (False, True)


def test_answers_slower_than_a_chunk_lasts_are_asked_for_at_its_end() -> None:
    """Asked for earlier, it would be over before it came."""
    pacer = Pacer(0.4, margin_s=0.2, timeout_s=1.0)
    pacer.start()
    pacer.note_query(0)
    pacer.note_answer(0, 3000 * MS, 4200 * MS, chunk_s=1.2)
    assert [pacer.due(now_ms * MS) for now_ms in (3001, 4199, 4200)] == [False, False, True]


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


def answered(pacer: Pacer, latency_s: float, n_candidates: int = 4) -> Pacer:
    """Answer one more query after a while."""
    pacer.note_query(0)
    pacer.note_answer(0, round(latency_s * 1e9), 1200 * MS, imagined=n_candidates)
    return pacer


def measured(*latencies_s: float, most_rows: int = 20) -> Pacer:
    """Return a pacer after answers of these latencies, behind one that warmed up for 3 s."""
    pacer = Pacer(0.8, 0.2, 0.5, most_rows)
    pacer.start()
    for latency_s in (3.0, *latencies_s):
        answered(pacer, latency_s)
    return pacer


def test_half_a_second_is_committed_to_before_anything_is_measured() -> None:
    """6.25 rows of 80 ms pass, and the spline at their end depends on two more."""
    assert Pacer(0.8, 0.2, 0.5, 20).committed_rows(12.5) == 9
    assert Pacer(0.8, 0.2, 0.5, 20).committed_rows(6.25) == 6


@pytest.mark.parametrize(
    ('latency_s', 'rate_hz', 'n_rows'),
    [(0.1, 12.5, 4), (0.4, 12.5, 7), (0.4001, 12.5, 8), (0.1, 6.25, 3), (0.8, 6.25, 7)],
)
def test_rows_that_pass_and_two_more_are_committed(
    latency_s: float, rate_hz: float, n_rows: int
) -> None:
    """A latency of 5 rows has passed 5 of them at the take-over, one of 5.001 has passed 6."""
    assert measured(latency_s).committed_rows(rate_hz) == n_rows


def test_committed_rows_are_bounded() -> None:
    """A chunk that commits to everything plans nothing."""
    assert measured(1.2, most_rows=8).committed_rows(12.5) == 8
    assert measured(0.1, most_rows=0).committed_rows(12.5) == 0


def test_the_first_answer_does_not_count_for_long() -> None:
    """It warmed something up; until the second one comes it is all that is known."""
    assert measured().committed_rows(12.5) == 20
    assert measured(0.1).committed_rows(12.5) == 4


def test_a_delay_beyond_the_committed_rows_raises_them_at_once() -> None:
    """Answers of 0.1 s commit to 4 rows; one of 0.3 s passes 4, so the next commit to 6."""
    pacer = measured(0.1, 0.1)
    assert answered(pacer, 0.3).committed_rows(12.5) == 6


def test_a_slow_answer_is_forgotten_after_twenty_others() -> None:
    """A machine that stalled once is not slow for ever."""
    pacer = measured(0.3)
    for _ in range(19):
        answered(pacer, 0.1)
    assert pacer.committed_rows(12.5) == 6
    assert answered(pacer, 0.1).committed_rows(12.5) == 4


def test_fewer_candidates_than_usual_get_more_time() -> None:
    """One row for each hurried answer of late, two at most; complete ones give it back."""
    pacer = measured(0.1)
    n_rows = [answered(pacer, 0.1, n).committed_rows(12.5) for n in (4, 2, 4, 1, 2)]
    assert n_rows == [4, 5, 5, 6, 6]
    for _ in range(20):
        answered(pacer, 0.1, 4)
    assert pacer.committed_rows(12.5) == 4


def test_a_query_on_a_row_does_not_wait_for_a_row_too_late() -> None:
    """At the next row, 160 ms on, the chunk would end before a slow answer."""
    pacer = Pacer(0.8, 0.2, 1.0)
    pacer.start()
    pacer.note_query(0)
    pacer.note_answer(0, 500 * MS, 1200 * MS, row_s=0.16)
    assert (pacer.due(340 * MS), pacer.due(341 * MS)) == (False, True)


def test_the_row_nearest_to_the_interval_is_taken() -> None:
    """0.8 s are five rows; the clock's last digit decides nothing."""
    pacer = Pacer(0.8, 0.2, 1.0)
    pacer.start()
    pacer.note_query(0)
    pacer.note_answer(0, 100 * MS, 2400 * MS, row_s=0.16)
    assert (pacer.due(640 * MS), pacer.due(800 * MS - 1)) == (False, True)


def test_no_two_queries_leave_on_one_row() -> None:
    """An answer within the row of its query, with too short a chunk, waits for the next row."""
    pacer = Pacer(0.8, 0.2, 1.0)
    pacer.start()
    pacer.note_query(0)
    pacer.note_answer(0, 20 * MS, 150 * MS, row_s=0.08)
    assert (pacer.due(0), pacer.due(80 * MS)) == (False, True)


def standstill_s(rate_hz: float, latency_s: float) -> float:
    """Return how long arms stand in 60 s of chunks of 16 rows whose answers take so long [s].

    Queries leave on rows, the planner looks every 10 ms, and the first chunk does not count.
    """
    pacer = Pacer(0.8, 0.2, 0.5)
    pacer.start()
    stamp_ns, answer_ns, end_ns, standing = 0, None, None, 0
    for now_ns in range(0, 60_000 * MS, 10 * MS):
        if answer_ns is not None and now_ns >= answer_ns:
            end_ns = stamp_ns + round(15 / rate_hz * 1e9)
            pacer.note_answer(stamp_ns, now_ns, end_ns, 1.0 / rate_hz)
            answer_ns = None
        ended = end_ns is not None and now_ns > end_ns
        standing += ended
        on_row = end_ns is None or ended or (now_ns - stamp_ns) % round(1e9 / rate_hz) == 0
        if answer_ns is None and on_row and pacer.due(now_ns):
            pacer.note_query(now_ns)
            stamp_ns, answer_ns = now_ns, now_ns + round(latency_s * 1e9)
    return standing * 0.01


@pytest.mark.parametrize(
    ('rate_hz', 'latency_s'),
    [(12.5, 0.1), (12.5, 0.3), (12.5, 0.55), (6.25, 0.1), (6.25, 0.5), (6.25, 0.8), (6.25, 1.1)],
)
def test_arms_never_stand_up_to_half_of_a_chunk(rate_hz: float, latency_s: float) -> None:
    """An answer and the next one both have to come within the 1.2 or 2.4 s of a chunk."""
    assert standstill_s(rate_hz, latency_s) == 0.0


@pytest.mark.parametrize(('rate_hz', 'latency_s'), [(12.5, 0.8), (6.25, 1.4)])
def test_arms_stand_where_two_answers_take_longer_than_a_chunk(
    rate_hz: float, latency_s: float
) -> None:
    """No pace helps there, and the next query still leaves at once."""
    cycles = 60.0 / latency_s
    expected = 60.0 - cycles * (15 / rate_hz - latency_s)
    assert standstill_s(rate_hz, latency_s) == pytest.approx(expected, rel=0.1)

# SPDX-License-Identifier: Apache-2.0
"""When to ask the policy again, and to how many rows a query commits.

The next query leaves a fixed time after the last one, or earlier when what is left of the running
chunk would not outlast an answer as slow as the slowest of late. Where answers take longer than a
chunk lasts, no row of it would be left, so the arms move in steps: the next query leaves when the
chunk has ended, and the chunk that it brings begins when it comes. One query is under way at a
time; one that is not answered is given up after a while, since an inference node does not answer
when a camera is stale.

A query commits to the rows that are played until its answer comes. Too few, and the new chunk
begins where the arms no longer are; too many, and it may not react to what the cameras saw.
"""

from __future__ import annotations

from collections import deque
import math
from statistics import median

import numpy as np

KEPT_LATENCIES = 1000  # queries over which the percentiles are taken, 13 minutes at 1.25 Hz
RECENT = 20  # answers that are of late, 16 s at 1.25 Hz; a stall of the machine counts as long
FIRST_LATENCY_S = 0.5  # assumed before anything was measured
PATIENCE = 1.5  # times the slowest latency of late before a query is given up
SPLINE_ROWS = 2  # a spline between two rows depends on the two behind them, see ``committed_rows``
MOST_ROWS = 8  # half of a chunk of 16 rows
MOST_SPARE_ROWS = 2  # given to answers that had too little time for all they should imagine


def most_committed_rows(trained: int, horizon: int, most_rows: int = MOST_ROWS) -> int:
    """Return the most rows that a query to a policy commits to.

    Args:
        trained: Most committed rows that the policy was trained with; 0 if it never was.
        horizon: Rows of its chunks, of which at least one has to be free.
        most_rows: What else bounds them.
    """
    return min(most_rows, trained or most_rows, horizon - 1)


class Pacer:
    """The pace of planning queries; starts inactive.

    Attributes:
        active: Whether queries are due at all.
        n_queries: Queries sent since the node started.
        n_unanswered: Queries given up since the node started.
        most_rows: Most rows that a query commits to.
    """

    def __init__(
        self,
        replan_s: float,
        margin_s: float,
        timeout_s: float,
        most_rows: int = MOST_ROWS,
        waits: bool = False,
    ) -> None:
        """Start inactive, without a measured latency.

        Args:
            replan_s: Time from one query to the next [s].
            margin_s: How much longer than an answer takes the running chunk shall last [s].
            timeout_s: Shortest time after which a query is given up [s].
            most_rows: Most rows that a query commits to, at least 0.
            waits: Whether a query leaves when the chunk has been played, its last row for as long
                as the others, and never before.
        """
        self._replan_s, self._margin_s, self._timeout_s = replan_s, margin_s, timeout_s
        self._waits = waits
        self.most_rows = most_rows
        self._latencies_s: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT)  # latency [s], imagined
        self.n_queries, self.n_unanswered = 0, 0
        self.stop()

    def start(self) -> None:
        """Make the first query due at once."""
        self.stop()
        self.active = True

    def stop(self) -> None:
        """Make no query due and forget the running chunk; the measured latencies stay."""
        self.active = False
        self._query_ns: int | None = None  # of the last query
        self._waiting = False  # for its answer
        self._unanswered_since_ns: int | None = None  # of the first query since the last answer
        self._chunk_end_ns: int | None = None
        self._row_s, self._chunk_s = 0.0, math.inf

    @property
    def slow_s(self) -> float:
        """The slowest latency of late [s], ``FIRST_LATENCY_S`` before the first answer."""
        return max((latency_s for latency_s, _ in self._recent), default=FIRST_LATENCY_S)

    @property
    def _typical_s(self) -> float:
        """The median latency of late [s]; 0 before the first answer."""
        return median([latency_s for latency_s, _ in self._recent] or [0.0])

    def committed_rows(self, rate_hz: float) -> int:
        """Return how many rows a query that leaves now commits to.

        The new chunk takes over at a place between rows r and r + 1, at the slowest after
        ``slow_s``. There the spline depends on rows r - 1 to r + 2, so the two curves agree if
        the rows up to r + 2 are committed: those that pass until then, rounded up, and
        ``SPLINE_ROWS`` more. An answer that came later than its committed rows allowed is the
        slowest of late, so the next query commits to more. Answers of late that imagined fewer
        chunks than others, by fewer candidates or less depth, had too little time: for each there
        is one row more, up to ``MOST_SPARE_ROWS``.

        Args:
            rate_hz: Spacing of the rows [Hz].
        """
        passing = math.ceil(rate_hz * self.slow_s - 1e-6)
        most = max((n for _, n in self._recent), default=0)
        hurried = sum(n < most for _, n in self._recent)
        spare = min(hurried, MOST_SPARE_ROWS)
        return min(passing + SPLINE_ROWS + spare, self.most_rows)

    def hurry(self) -> None:
        """Make the next query due at once, unless an answer is waited for."""
        if not self._waiting:
            self._query_ns = None

    def due(self, now_ns: int) -> bool:
        """Whether a query is due now; gives up one that has gone without an answer for too long.

        Where queries leave on the rows of the running chunk, call it with the time of a row: what
        cannot wait for the next row is due at this one.

        Args:
            now_ns: Stamp that the query would have [ns, ROS clock].
        """
        if not self.active:
            return False
        if self._query_ns is None:
            return True
        since_s = (now_ns - self._query_ns) * 1e-9
        if self._waiting:
            if since_s < max(self._timeout_s, PATIENCE * self.slow_s):
                return False
            self._waiting = False
            self.n_unanswered += 1
            return True
        end_ns = now_ns if self._chunk_end_ns is None else self._chunk_end_ns
        left_s = (end_ns - now_ns) * 1e-9
        if since_s <= 0.0:  # the row of the last query
            return False
        if self._waits:
            return left_s <= 1e-9 - self._row_s
        if self._typical_s >= self._chunk_s:
            return left_s <= 0.0
        in_time = since_s >= self._replan_s - self._row_s / 2
        return in_time or left_s - self._row_s < self.slow_s + self._margin_s

    def note_query(self, now_ns: int) -> None:
        """Note that a query left.

        Args:
            now_ns: Stamp of the query [ns, ROS clock].
        """
        self._query_ns, self._waiting = now_ns, True
        if self._unanswered_since_ns is None:
            self._unanswered_since_ns = now_ns
        self.n_queries += 1

    def note_answer(
        self,
        query_ns: int,
        now_ns: int,
        chunk_end_ns: int,
        row_s: float = 0.0,
        imagined: int = 1,
        chunk_s: float = math.inf,
    ) -> None:
        """Note that a query was answered.

        Args:
            query_ns: Stamp of the query [ns, ROS clock].
            now_ns: Time of the answer [ns, ROS clock].
            chunk_end_ns: When the last row of the chunk that is played now is due [ns, ROS clock].
            row_s: Spacing of the times at which the next query may leave [s], which is that of the
                rows; 0 where it may leave at any time.
            imagined: Chunks that were imagined for the answer: its candidates times their depth.
            chunk_s: From the first to the last row of the chunks [s].
        """
        latency_s = (now_ns - query_ns) * 1e-9
        if len(self._latencies_s) == 1:
            self._recent.clear()  # the first answer may have warmed something up
        self._latencies_s.append(latency_s)
        self._recent.append((latency_s, imagined))
        self._chunk_end_ns, self._row_s, self._chunk_s = chunk_end_ns, row_s, chunk_s
        if query_ns == self._query_ns:
            self._waiting = False
        self._unanswered_since_ns = self._query_ns if self._waiting else None

    def waiting_s(self, now_ns: int) -> float:
        """Return the time since the first query without an answer [s]; 0 without such a query.

        A query that replaces one that was given up does not start anew.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        return (
            0.0
            if self._unanswered_since_ns is None
            else (now_ns - self._unanswered_since_ns) * 1e-9
        )

    def latency_s(self, percentile: float) -> float:
        """Return a percentile of the time from query to answer [s]; NaN before the first answer.

        Args:
            percentile: From 0 to 100, over the newest ``KEPT_LATENCIES`` answers.
        """
        if not self._latencies_s:
            return float('nan')
        return float(np.percentile(list(self._latencies_s), percentile))

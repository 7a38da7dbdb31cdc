# SPDX-License-Identifier: Apache-2.0
"""The time of the next planning query, so that arms neither wait nor follow an old plan.

The next query leaves a fixed time after the last one, or earlier when what is left of the running
chunk would not outlast an answer as slow as the slowest of late. One query is under way at a time;
one that is not answered is given up after a while, since an inference node does not answer when a
camera is stale.
"""

from __future__ import annotations

from collections import deque

import numpy as np

KEPT_LATENCIES = 1000  # queries over which the percentiles are taken, 13 minutes at 1.25 Hz
PATIENCE = 1.5  # times the slowest latency of late before a query is given up


class Pacer:
    """The pace of planning queries; starts inactive.

    Attributes:
        active: Whether queries are due at all.
        n_queries: Queries sent since the node started.
        n_unanswered: Queries given up since the node started.
    """

    def __init__(self, replan_s: float, margin_s: float, timeout_s: float) -> None:
        """Start inactive, without a measured latency.

        Args:
            replan_s: Time from one query to the next [s].
            margin_s: How much longer than an answer takes the running chunk shall last [s].
            timeout_s: Shortest time after which a query is given up [s].
        """
        self._replan_s, self._margin_s, self._timeout_s = replan_s, margin_s, timeout_s
        self._latencies_s: deque[float] = deque(maxlen=KEPT_LATENCIES)
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

    def due(self, now_ns: int) -> bool:
        """Whether a query is due now; gives up one that has gone without an answer for too long.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        if not self.active:
            return False
        if self._query_ns is None:
            return True
        since_s = (now_ns - self._query_ns) * 1e-9
        slow_s = self.latency_s(99.0) if self._latencies_s else 0.0
        if self._waiting:
            if since_s < max(self._timeout_s, PATIENCE * slow_s):
                return False
            self._waiting = False
            self.n_unanswered += 1
            return True
        end_ns = now_ns if self._chunk_end_ns is None else self._chunk_end_ns
        left_s = (end_ns - now_ns) * 1e-9
        return since_s >= self._replan_s or left_s < slow_s + self._margin_s

    def note_query(self, now_ns: int) -> None:
        """Note that a query left.

        Args:
            now_ns: Stamp of the query [ns, ROS clock].
        """
        self._query_ns, self._waiting = now_ns, True
        if self._unanswered_since_ns is None:
            self._unanswered_since_ns = now_ns
        self.n_queries += 1

    def note_answer(self, query_ns: int, now_ns: int, chunk_end_ns: int) -> None:
        """Note that a query was answered.

        Args:
            query_ns: Stamp of the query [ns, ROS clock].
            now_ns: Time of the answer [ns, ROS clock].
            chunk_end_ns: When the last row of the chunk that is played now is due [ns, ROS clock].
        """
        self._latencies_s.append((now_ns - query_ns) * 1e-9)
        self._chunk_end_ns = chunk_end_ns
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

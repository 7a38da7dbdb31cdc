# SPDX-License-Identifier: Apache-2.0
"""When to ask the policy again, so that the arms neither wait nor follow an old plan.

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
    """Decide when the next query is due; starts inactive.

    Attributes:
        active: Whether queries are due at all.
        n_queries: Queries asked since the start.
        n_unanswered: Queries given up since the start.
    """

    def __init__(self, replan_s: float, margin_s: float, timeout_s: float) -> None:
        """Take the times.

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
        self._asked_ns: int | None = None  # of the last query
        self._waiting = False  # for its answer
        self._silent_ns: int | None = None  # of the first query since the last answer
        self._chunk_end_ns: int | None = None

    def due(self, now_ns: int) -> bool:
        """Whether to ask now; gives up a query that is not answered."""
        if not self.active:
            return False
        if self._asked_ns is None:
            return True
        since_s = (now_ns - self._asked_ns) * 1e-9
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

    def asked(self, now_ns: int) -> None:
        """Note that a query left."""
        self._asked_ns, self._waiting = now_ns, True
        if self._silent_ns is None:
            self._silent_ns = now_ns
        self.n_queries += 1

    def answered(self, query_ns: int, now_ns: int, chunk_end_ns: int) -> None:
        """Note that a query was answered.

        Args:
            query_ns: Stamp of the query [ns, ROS clock].
            now_ns: Time of the answer [ns, ROS clock].
            chunk_end_ns: When the last row of the chunk that is played now is due [ns, ROS clock].
        """
        self._latencies_s.append((now_ns - query_ns) * 1e-9)
        self._chunk_end_ns = chunk_end_ns
        if query_ns == self._asked_ns:
            self._waiting = False
        self._silent_ns = self._asked_ns if self._waiting else None

    def waiting_s(self, now_ns: int) -> float:
        """Return how long queries have gone without an answer [s]; 0 when none is under way.

        A query that is asked again after its timeout goes on waiting.
        """
        return 0.0 if self._silent_ns is None else (now_ns - self._silent_ns) * 1e-9

    def latency_s(self, percentile: float) -> float:
        """Return a percentile of the time from query to answer [s]; NaN before the first."""
        if not self._latencies_s:
            return float('nan')
        return float(np.percentile(list(self._latencies_s), percentile))

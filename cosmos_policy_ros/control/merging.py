# SPDX-License-Identifier: Apache-2.0
"""Which answers of several inference nodes to one query are merged, and when waiting ends.

As many answers are waited for as came to the query before, those too late for it included, but not
longer than ``merge_s`` after the first. An inference node that dies costs that wait once; one that
was too slow, or has just been started, is waited for again from the next query on.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.types import Candidates
import numpy as np


@dataclass(frozen=True)
class Merged:
    """All candidates for one query that came in time.

    Attributes:
        candidates: Candidates of all answers, in the order of arrival, at the query's stamp.
        rate_hz: Spacing of their rows [Hz].
        n_answers: Number of answers.
        n_before: Number of answers merged for the query before; 0 for the first query.
    """

    candidates: Candidates
    rate_hz: float
    n_answers: int
    n_before: int


class CandidateMerger:
    """Collect answers by the query they belong to, and decide when a query has enough of them.

    Attributes:
        n_merged: Answers that were merged for the last query; 0 before the first.
        n_most: Most answers to one query since the start, late ones included.
        newest_ns: Stamp of the query answered last, or time of the start [ns, ROS clock]; answers
            to queries up to here are too late.
    """

    def __init__(self, merge_s: float) -> None:
        """Start without a query.

        Args:
            merge_s: Longest wait for the other answers to a query after its first one [s].
        """
        self._merge_ns = round(merge_s * 1e9)
        self.start(0, 0)

    def start(self, now_ns: int, n_expected: int) -> None:
        """Forget all answers; those to queries up to now are too late.

        Args:
            now_ns: Time now [ns, ROS clock].
            n_expected: Answers that the first query is likely to get.
        """
        self.n_merged, self.n_most = 0, 0
        self._n_expected = n_expected
        self.newest_ns = now_ns
        self._answers: dict[int, list[tuple[Candidates, float]]] = {}  # by stamp of the query
        self._until_ns: dict[int, int] = {}  # when waiting for further answers ends

    def add(
        self, candidates: Candidates, rate_hz: float, now_ns: int, n_publishers: int
    ) -> Merged | None:
        """Take an answer and return the merged ones if no other is waited for.

        Args:
            candidates: The answer; its stamp is the query's.
            rate_hz: Spacing of its rows [Hz].
            now_ns: Time of arrival [ns, ROS clock].
            n_publishers: Inference nodes that are known to publish now. One that was killed may
                count for a while; more answers than this are not waited for.

        Raises:
            ValueError: The answer has another horizon, another number of values or another rate
                than the first one to this query; it is left out.
        """
        stamp_ns = candidates.stamp_ns
        if stamp_ns <= self.newest_ns:
            if stamp_ns == self.newest_ns:  # too late for this query, to be waited for the next
                self._n_expected += 1
                self.n_most = max(self.n_most, self._n_expected)
            return None
        answers = self._answers.setdefault(stamp_ns, [])
        if not answers:
            self._until_ns[stamp_ns] = now_ns + self._merge_ns
        elif _shape(*answers[0]) != _shape(candidates, rate_hz):
            msg = 'inference nodes answer with different horizons, values or rates'
            raise ValueError(msg)
        answers.append((candidates, rate_hz))
        if len(answers) >= min(self._n_expected, n_publishers):
            return self._merge(stamp_ns)
        return None

    def take_due(self, now_ns: int) -> Merged | None:
        """Return the answers to the oldest query that has waited long enough, merged.

        None when no query has; call it until then.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        due = [stamp_ns for stamp_ns, until_ns in self._until_ns.items() if now_ns >= until_ns]
        return self._merge(min(due)) if due else None

    @property
    def shortfall(self) -> str:
        """How many inference nodes answer in time, as a sentence; empty when all do."""
        if self.n_merged == self.n_most:
            return ''
        return f'{self.n_merged} of {self.n_most} inference nodes answered in time'

    def _merge(self, stamp_ns: int) -> Merged:
        """Return the merged answers to a query and forget it and all older ones."""
        answers = [candidates for candidates, _ in self._answers[stamp_ns]]
        rate_hz = self._answers[stamp_ns][0][1]
        merged = Candidates(
            stamp_ns,
            np.concatenate([c.positions for c in answers]),
            np.concatenate([c.values for c in answers]),
            np.concatenate([c.future_proprio for c in answers]),
        )
        for old_ns in [s for s in self._answers if s <= stamp_ns]:
            del self._answers[old_ns], self._until_ns[old_ns]
        n_before, n_answers = self.n_merged, len(answers)
        self.newest_ns, self._n_expected, self.n_merged = stamp_ns, n_answers, n_answers
        self.n_most = max(self.n_most, n_answers)
        return Merged(merged, rate_hz, n_answers, n_before)


def _shape(candidates: Candidates, rate_hz: float) -> tuple[object, ...]:
    """Return the facts that two answers must have in common to be merged."""
    return candidates.positions.shape[1:], candidates.values.shape[1], rate_hz

# SPDX-License-Identifier: Apache-2.0
"""Whether a loop stood still just now, so that what is asked of it may have waited.

A process that was stopped, or that collected garbage, finds what came meanwhile in its queues and
would obey it seconds later, when whoever asked has given up and may stand beside the arms.
"""

from __future__ import annotations

import math

# [s] from the end of a stall until all that waited has been read: what found the socket of a
# stopped process full is sent again with the next heartbeat of its sender, which comes every 3 s
SETTLED_S = 3.5


class StallWatch:
    """The turns of a loop, and the last one that came much too late."""

    def __init__(self, longest_s: float) -> None:
        """Begin with the first turn: whoever starts has not stood still.

        Args:
            longest_s: From one turn to the next at most [s]; more is a stall.
        """
        self._longest_s = longest_s
        self._turn_s: float | None = None  # the newest [s, monotonic]
        self._stood_s, self._ended_s = 0.0, -SETTLED_S  # the last stall, and when it was over

    def note(self, now_s: float) -> None:
        """Note a turn of the loop.

        Args:
            now_s: Now [s, monotonic].
        """
        if self._turn_s is not None and now_s - self._turn_s > self._longest_s:
            self._stood_s, self._ended_s = now_s - self._turn_s, now_s
        self._turn_s = now_s

    def find(self, now_s: float) -> str:
        """Return why what is asked now may have waited; empty when it has not.

        Which of what waited is read first is chance, so a question is a turn too.

        Args:
            now_s: Now [s, monotonic].
        """
        if self._turn_s is None:
            return ''
        self.note(now_s)
        left_s = self._ended_s + SETTLED_S - now_s
        if left_s <= 0.0:
            return ''
        return (
            f'this node stood still for {self._stood_s:.1f} s, so that this may have waited; '
            f'call again in {math.ceil(left_s)} s'
        )

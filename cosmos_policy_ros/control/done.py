# SPDX-License-Identifier: Apache-2.0
"""When the value says that a task is done: it fell first, and then held high for a while.

A value is high at both ends of an episode: an arm that has not begun looks much like one that has
finished, to a network that was trained on few of either. So a high value alone says nothing. It
must have been low before, as in the middle of a task, and must then stay high.
"""

from __future__ import annotations

ENGAGED_BELOW = 0.75  # a value that the middle of a task has, and its ends have not
DONE_ABOVE = 0.93
HELD_S = 3.0  # [s]; a hand-over that is about to fail looks well for a second or two


class DoneWatch:
    """Values of one attempt, in their order."""

    def __init__(self) -> None:
        """Begin before the first value."""
        self.restart()

    def restart(self) -> None:
        """Begin anew, as when somebody else has led the arms."""
        self._engaged = False
        self._high_ns: int | None = None  # since when the value is high [ns]

    def note(self, value: float, now_ns: int) -> bool:
        """Take the value of a choice; return whether the task is done by now.

        Args:
            value: From 0 to 1; NaN is no value, and not high.
            now_ns: Its time [ns].
        """
        self._engaged |= value < ENGAGED_BELOW
        if not (self._engaged and value > DONE_ABOVE):
            self._high_ns = None
        elif self._high_ns is None:
            self._high_ns = now_ns
        return self._high_ns is not None and now_ns - self._high_ns >= HELD_S * 1e9

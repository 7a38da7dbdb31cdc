# SPDX-License-Identifier: Apache-2.0
"""The times at which a control loop ticks, and how late its commands leave.

Ticks are due at absolute times of the monotonic clock, so lateness does not add up. A deadline is
missed when a command has left only ``MISS_S`` after it, or not at all; a missed tick is skipped,
never replayed.
"""

from __future__ import annotations

from array import array
from collections import deque
import json
from pathlib import Path
import time

from cosmos_policy_ros.metrics import percentiles
import numpy as np
from numpy.typing import NDArray

MISS_S = 2e-3  # [s] a command that has left only later has missed its deadline
NEWEST = 500  # commands whose lateness a status covers, 10 s at 50 Hz
MOST_KEPT = 1_000_000  # ticks in a log: 5.5 hours at 50 Hz, 32 MB


class Ticker:
    """Absolute times of ticks; a missed tick is skipped, never replayed.

    Attributes:
        skipped: Ticks missed since the start.
    """

    def __init__(self, period_s: float, now_s: float) -> None:
        """Make the first tick due one period from now.

        Args:
            period_s: Time between ticks [s].
            now_s: Now [s, monotonic].
        """
        self.skipped = 0
        self._period_s, self._due_s = period_s, now_s + period_s

    @classmethod
    def by_clock(cls, period_s: float, shift_s: float = 0.0) -> Ticker:
        """Make ticks due at whole periods of the clock, so that another loop can tick between.

        Args:
            period_s: Time between ticks [s].
            shift_s: How much later they are due [s].
        """
        now_s = time.perf_counter()
        return cls(period_s, now_s - now_s % period_s + shift_s)

    def wait_s(self, now_s: float) -> float:
        """Return the time from ``now_s`` until the next tick is due [s]; negative when it is late.

        Args:
            now_s: Now [s, monotonic].
        """
        return self._due_s - now_s

    def take(self, now_s: float) -> float:
        """Begin the next tick and return when it is or was due [s, monotonic].

        Args:
            now_s: Now [s, monotonic].
        """
        due_s = self._due_s
        missed = max(0, int((now_s - due_s) / self._period_s))
        self.skipped += missed
        self._due_s += (missed + 1) * self._period_s
        return due_s


class Lateness:
    """Times at which commands began to leave and had left, against their deadlines.

    Attributes:
        misses: Deadlines missed so far, by commands and by skipped ticks.
    """

    def __init__(self, file: str = '') -> None:
        """Start without a command.

        Args:
            file: What ``write`` writes; empty keeps only the newest and writes nothing.
        """
        self.misses = 0
        self._newest_ms: deque[float] = deque(maxlen=NEWEST)
        self._file = file
        self._log = array('d')  # four numbers a tick, as in ``read_lateness``

    def add(self, due_s: float, began_s: float, ended_s: float, skipped: int = 0) -> None:
        """Note that a command left.

        Args:
            due_s: When it was due [s, monotonic].
            began_s: When it began to leave [s, monotonic].
            ended_s: When it had left, for all arms [s, monotonic].
            skipped: Ticks without a command between the one before and this one.
        """
        self.misses += skipped + (ended_s - due_s > MISS_S)
        self._newest_ms.append((began_s - due_s) * 1e3)
        if self._file and len(self._log) < 4 * MOST_KEPT:
            self._log.extend((due_s, began_s - due_s, ended_s - due_s, skipped))

    def newest_ms(self) -> dict[str, float]:
        """Return ``p50``, ``p99`` and ``max`` of how late the newest commands began to leave [ms].

        NaN before the first command.
        """
        return percentiles(self._newest_ms)

    def write(self, scheduling: str) -> None:
        """Write the log for ``read_lateness``, with what ``request_realtime`` returned."""
        if self._file:
            ticks = np.array(self._log).reshape(-1, 4).tolist()
            log = json.dumps({'scheduling': scheduling, 'ticks': ticks})
            Path(self._file).write_text(log, encoding='utf-8')


def read_lateness(path: Path) -> tuple[str, NDArray[np.float64]]:
    """Return the scheduling and the ticks that ``Lateness.write`` wrote.

    A row of the (T, 4) float64 ticks is when one was due [s, monotonic], how much later its
    command began to leave and had left [s], and how many ticks were skipped before it.
    """
    log = json.loads(path.read_text(encoding='utf-8'))
    return log['scheduling'], np.array(log['ticks'], np.float64).reshape(-1, 4)


def sleep_until(due_s: float) -> None:
    """Return when a time [s, monotonic] has come, at once if it has passed."""
    time.sleep(max(due_s - time.perf_counter(), 0.0))

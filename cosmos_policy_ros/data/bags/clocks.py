# SPDX-License-Identifier: Apache-2.0
"""Whether the stamps of a stream are of the clock that its messages arrived by.

A camera on a machine with another clock, a driver that fills in no stamps or one whose counter
wraps put images beside joints of another time, and nothing in the messages says so. The time of
arrival does: a message arrives within a fraction of a second after it was stamped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_policy_ros.data.reading import Stamps
import numpy as np

AHEAD_S = 0.05  # a stamp after its arrival, beyond what synchronised clocks differ by
STEP_S = 0.1  # back in time, beyond messages that overtake each other
LEAP_S = 1.0  # ahead of what the arrivals say, beyond what a disk or a network holds back


@dataclass(frozen=True)
class Row:
    """One message of a stream.

    Attributes:
        arrival_ns: When it arrived [ns, ROS clock].
        stamp_ns: Stamp of its header [ns], None without one.
        value: What it says.
    """

    arrival_ns: int
    stamp_ns: int | None
    value: Any


def check_stamps(topic: str, rows: Sequence[Row], start_ns: int, max_late_s: float) -> None:
    """Refuse stamps of another clock.

    Args:
        topic: Name of the stream.
        rows: Its messages in the order of arrival.
        start_ns: Start of the bag [ns], for messages.
        max_late_s: Most that a message may arrive after its stamp, by the median [s].

    Raises:
        ValueError: They are; names the stream and the difference.
    """
    stamped = [(row.arrival_ns, row.stamp_ns) for row in rows if row.stamp_ns is not None]
    if not stamped:
        return
    arrivals, stamps = np.array(stamped, np.int64).T
    late_s = float(np.median(arrivals - stamps)) * 1e-9
    choose = '--stamps arrival takes the time of arrival, --stamps header trusts the headers'
    if not stamps.any():
        msg = f'{topic} has no stamps, its headers are 0; {choose}'
        raise ValueError(msg)
    if late_s > max_late_s or late_s < -AHEAD_S:
        side, limit_s = ('before', max_late_s) if late_s > 0 else ('after', AHEAD_S)
        msg = f'{topic} is stamped {abs(late_s):.3f} s {side} its arrival by the median, limit '
        msg += f'{limit_s:.3f} s: another clock; {choose}'
        raise ValueError(msg)
    steps_s = np.diff(stamps) * 1e-9
    leaps_s = steps_s - np.diff(arrivals) * 1e-9
    for row in np.flatnonzero((steps_s < -STEP_S) | (leaps_s > LEAP_S)).tolist():
        at_s = (arrivals[row + 1] - start_ns) * 1e-9
        way = 'back' if steps_s[row] < 0 else 'ahead'
        msg = f'{topic} at {at_s:.2f} s: its stamps step {way} by {abs(steps_s[row]):.3f} s'
        msg += f'; {choose}'
        raise ValueError(msg)


def clock_offset(streams: Iterable[Sequence[Row]], stamps: Stamps | None) -> int:
    """Return by how much arrivals are after the stamps that count [ns], for what has no header.

    Args:
        streams: Messages of all streams.
        stamps: Which time counts; where headers are trusted, their clock may be another one.
    """
    if stamps != 'header':
        return 0
    late_ns = [
        r.arrival_ns - r.stamp_ns for rows in streams for r in rows if r.stamp_ns is not None
    ]
    return int(np.median(late_ns)) if late_ns else 0


def time_of(row: Row, stamps: Stamps | None, offset_ns: int) -> int:
    """Return the time of a message that counts [ns]; arguments as of ``clock_offset``."""
    if row.stamp_ns is None or stamps == 'arrival':
        return row.arrival_ns - offset_ns
    return row.stamp_ns

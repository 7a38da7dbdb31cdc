# SPDX-License-Identifier: Apache-2.0
"""Which time of the messages of a bag counts, and whether stamps and arrivals are of one clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_policy_ros.data.reading import Stamps
from cosmos_policy_ros.stream_judge import MAX_IMAGE_AGE_S, StampJudge, STEP_S
import numpy as np
from numpy.typing import NDArray


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
    judge, first_step = StampJudge(topic, max_late_s), ''
    for row in rows:
        if row.stamp_ns is not None and (step := judge.push(row.arrival_ns, row.stamp_ns)):
            at_s = (row.arrival_ns - start_ns) * 1e-9
            first_step = first_step or f'{topic} at {at_s:.2f} s: {step}'
    if reason := judge.fault() or first_step:
        msg = f'{reason}; --stamps arrival takes the time of arrival, --stamps header trusts the '
        msg += 'headers'
        raise ValueError(msg)


def check_set_back(
    written: Iterable[tuple[str, int]], topics: Collection[str], start_ns: int, end_ns: int
) -> None:
    """Refuse a bag in which two times are mixed, as where the clock was set back meanwhile.

    Args:
        written: Topic and arrival [ns] of all messages in the order in which they were written.
        topics: Those that count.
        start_ns: Begin of the part of the bag that counts [ns].
        end_ns: Its end [ns].

    Raises:
        ValueError: They are; names the times, and what makes parts without.
    """
    last_ns: dict[str, int] = {}
    steps = []  # of a topic: from the arrival of a message to an earlier one of the next
    for topic, arrival_ns in written:
        before_ns = last_ns.get(topic, arrival_ns)
        last_ns[topic] = arrival_ns
        if before_ns - arrival_ns > STEP_S * 1e9 and topic in topics:
            steps.append((before_ns, arrival_ns))
    mixed = [step for step in steps if step[0] > start_ns and step[1] < end_ns]
    if not mixed:
        return
    back_s = max(before_ns - arrival_ns for before_ns, arrival_ns in mixed) * 1e-9
    from_ns = max(min(arrival_ns for _, arrival_ns in mixed) - start_ns, 0)
    until_ns = max(before_ns for before_ns, _ in mixed) - start_ns
    # outwards to the hundredth that is printed
    from_s, until_s = from_ns // 10**7 / 100, until_ns // 10**7 / 100 + 0.01
    # what lies behind begins when no message of before can count any more
    edges_s = (from_s, until_s + MAX_IMAGE_AGE_S)
    inside = [f'{s:.2f}' for s in edges_s if 0 < s < (end_ns - start_ns) * 1e-9]
    msg = f'the clock was set back by about {back_s:.2f} s during the recording: it has two times '
    msg += f'from {from_s:.2f} to {until_s:.2f} s'
    if inside:
        msg += f'; cosmos-policy episodes split --at {" ".join(inside)} divides it there'
    raise ValueError(msg)


def check_one_clock(
    streams: Mapping[str, Sequence[Row]], max_apart_s: Mapping[str, float], acting: Collection[str]
) -> None:
    """Refuse stamps of several clocks, where a person trusts the headers.

    The clock that they share may be any, and slower than that of the arrivals, as a simulation's
    is: streams are compared with the one that has most messages, at the same time.

    Args:
        streams: Topic -> its messages in the order of arrival.
        max_apart_s: Topic -> most that it may be apart, by the median [s].
        acting: Topics of commands, which count by their arrival where they have no header.

    Raises:
        ValueError: They are of several; names two streams and the difference.
    """
    stamped = {topic: _lateness(rows) for topic, rows in streams.items()}
    stamped = {topic: found for topic, found in stamped.items() if len(found)}
    if not stamped:
        return
    reference = max(stamped, key=lambda topic: len(stamped[topic]))
    arrivals_ns, late_ns = stamped[reference].T
    for topic, found in stamped.items():
        nearest = np.searchsorted(arrivals_ns, found[:, 0]).clip(0, len(arrivals_ns) - 1)
        apart_s = float(np.median(found[:, 1] - late_ns[nearest])) * 1e-9
        if abs(apart_s) > max_apart_s[topic]:
            side = 'before' if apart_s > 0 else 'after'
            msg = f'{topic} is stamped {abs(apart_s):.3f} s {side} {reference} by the median: '
            msg += 'their clocks differ; --stamps arrival takes the time of arrival'
            raise ValueError(msg)
    few = -(-len(late_ns) // 10)
    drift_s = float(abs(np.median(late_ns[-few:]) - np.median(late_ns[:few]))) * 1e-9
    for topic in acting:
        if topic not in stamped and drift_s > max_apart_s[topic]:
            msg = f'{topic} has no headers, and those of the others run {drift_s:.3f} s apart '
            msg += 'from the arrivals in this bag; --stamps arrival takes the time of arrival'
            raise ValueError(msg)


def _lateness(rows: Sequence[Row]) -> NDArray[np.int64]:
    """Return (n, 2) arrivals, rising, and how late each is after its stamp [ns]."""
    found = [(r.arrival_ns, r.arrival_ns - r.stamp_ns) for r in rows if r.stamp_ns is not None]
    return np.array(sorted(found), np.int64).reshape(-1, 2)


def clock_offset(streams: Iterable[Sequence[Row]], stamps: Stamps | None) -> int:
    """Return by how much arrivals are after the stamps that count [ns], by the median.

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
    """Return the time of a message that counts, on the clock of the bag [ns].

    Args:
        row: The message.
        stamps: As of ``clock_offset``.
        offset_ns: What it returned.
    """
    if row.stamp_ns is None or stamps == 'arrival':
        return row.arrival_ns
    return row.stamp_ns + offset_ns

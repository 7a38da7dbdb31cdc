# SPDX-License-Identifier: Apache-2.0
"""An episode while it is being recorded: what came on every topic, and whether it is still good.

Messages stay serialized. Once a second everything is brought into the file, so that a killed
process loses no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import json
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.outputs import PARTIAL

FLUSH_S = 1.0  # what a killed process may lose
PREFIX = 'episode_'


@dataclass(slots=True)
class _Arrivals:
    """Arrivals of one topic [ns, ROS clock], the longest gap between two [ns] and its begin."""

    first_ns: int
    last_ns: int
    gap_ns: int
    n: int = 0
    gap_from_ns: int = 0


class Recording:
    """One episode on its way into a bag.

    Attributes:
        path: Folder the bag will have.
        n: Messages written.
    """

    def __init__(
        self,
        path: Path,
        details: Mapping[str, str],
        rates_hz: Mapping[str, float],
        start_ns: int,
        compress: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the folder.

        Args:
            path: Folder of the bag, which must not exist.
            details: Custom data that is known at the start.
            rates_hz: Topic -> nominal rate [Hz] of the streams that an episode cannot do without.
            start_ns: Time of the start [ns, ROS clock].
            compress: Whether chunks are compressed.
            clock: Returns the time by which the file is flushed [s]; nobody sets it, as a computer
                may do with the ROS clock.

        Raises:
            ConfigError: The disk is full or cannot be written.
            FileExistsError: The folder exists.
        """
        self.path, self.n = path, 0
        self._bag = BagWriter(path, details, compress)
        self._rates_hz = dict(rates_hz)
        self._start_ns, self._clock, self._flushed_s = start_ns, clock, clock()
        self._arrivals = {topic: _Arrivals(start_ns, start_ns, 0) for topic in rates_hz}

    @property
    def n_bytes(self) -> int:
        """Size of the file by now [bytes]."""
        return self._bag.n_bytes

    def write(self, topic: str, msg_type: str, data: bytes, stamp_ns: int) -> None:
        """Write one message.

        Args:
            topic: Topic.
            msg_type: Type as ``package/msg/Name``.
            data: Serialized CDR bytes.
            stamp_ns: When it arrived [ns, ROS clock].
        """
        self._bag.write(topic, msg_type, data, stamp_ns)
        self.n += 1
        arrivals = self._arrivals.get(topic)
        if arrivals is None:
            arrivals = self._arrivals[topic] = _Arrivals(stamp_ns, stamp_ns, 0)
        elif not arrivals.n:
            arrivals.first_ns = stamp_ns
        if stamp_ns - arrivals.last_ns > arrivals.gap_ns:
            arrivals.gap_ns, arrivals.gap_from_ns = stamp_ns - arrivals.last_ns, arrivals.last_ns
        arrivals.last_ns = stamp_ns
        arrivals.n += 1
        if (now_s := self._clock()) - self._flushed_s > FLUSH_S:
            self._flushed_s = now_s
            self._bag.flush()

    def find_silent(self, now_ns: int, max_silence_s: float) -> str:
        """Return which stream is or was silent for too long, empty when none.

        Args:
            now_ns: Now [ns, ROS clock].
            max_silence_s: How long a stream may be silent [s].
        """
        for topic in self._rates_hz:
            arrivals = self._arrivals[topic]
            gaps = (
                (arrivals.gap_ns, arrivals.gap_from_ns),
                (now_ns - arrivals.last_ns, arrivals.last_ns),
            )
            gap_ns, from_ns = max(gaps)
            if gap_ns * 1e-9 > max_silence_s:
                at_s = (from_ns - self._start_ns) * 1e-9
                return (
                    f'{topic} was silent for {gap_ns * 1e-9:.2f} s from {at_s:.2f} s on, limit '
                    f'{max_silence_s} s'
                )
        return ''

    def audit(self, now_ns: int) -> dict[str, dict[str, Any]]:
        """Return counts, rates and gaps of every topic, for people and for checks.

        Args:
            now_ns: End of the episode [ns, ROS clock].

        Returns:
            Topic -> ``count``, ``rate_hz`` and ``longest_gap_s`` (from start to end), and
            ``expected``, the count at the nominal rate; None where there is no such number.
        """
        seconds = (now_ns - self._start_ns) * 1e-9
        report: dict[str, dict[str, Any]] = {}
        for topic, arrivals in self._arrivals.items():
            span_s = (arrivals.last_ns - arrivals.first_ns) * 1e-9
            nominal_hz = self._rates_hz.get(topic)
            gap_ns = (
                max(arrivals.gap_ns, now_ns - arrivals.last_ns) if nominal_hz else arrivals.gap_ns
            )
            report[topic] = {
                'count': arrivals.n,
                'rate_hz': round((arrivals.n - 1) / span_s, 3) if span_s > 0 else None,
                'longest_gap_s': round(gap_ns * 1e-9, 4),
                'expected': round(seconds * nominal_hz) if nominal_hz else None,
            }
        return report

    def finish(
        self, now_ns: int, success: bool | None, cut: str = '', invalid: str = ''
    ) -> dict[str, dict[str, Any]]:
        """Close the bag with its label and return the audit.

        Args:
            now_ns: End of the episode [ns, ROS clock].
            success: Outcome, None when nobody judged it.
            cut: Why it ended before somebody ended it; empty when somebody did.
            invalid: Why nobody shall learn from it; empty when it is good.

        Raises:
            OSError: It cannot be written.
        """
        audit = self.audit(now_ns)
        details = {'audit': json.dumps(audit), 'complete': 'false' if cut else 'true'}
        if success is not None:
            details['success'] = str(success).lower()
        details |= {key: why for key, why in (('cut', cut), ('invalid', invalid)) if why}
        for key, value in details.items():
            self._bag.set_metadata(key, value)
        self._bag.close()
        return audit

    def discard(self) -> None:
        """Remove what was recorded."""
        self._bag.discard()


def next_episode(folder: Path) -> Path:
    """Return the folder of the next episode, numbered behind all that are there."""
    names = [p.name.removesuffix(PARTIAL).removeprefix(PREFIX) for p in folder.glob(f'{PREFIX}*')]
    last = max((int(name) for name in names if name.isdecimal()), default=-1)
    return folder / f'{PREFIX}{last + 1:06d}'

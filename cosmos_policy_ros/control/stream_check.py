# SPDX-License-Identifier: Apache-2.0
"""Rate and stamps of the messages that came on a topic in a while, and why some are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cosmos_policy_ros.finding import Finding, judge
import numpy as np

SLOWEST = 0.8  # of the nominal rate; slower ones make observations old
LATE_S = 0.1  # between a stamp and its arrival; sensing and transport take a few milliseconds
OFTEN = 0.2  # part of the messages that repeat a stamp, with which a stream is no good
AHEAD_S = 0.1  # a stamp farther ahead of this clock is not believed


class Stream:
    """What came on a topic.

    Attributes:
        refusals: Why messages were refused -> how many.
        frame_id: Of the newest message.
    """

    def __init__(self, topic: str, rate_hz: float) -> None:
        """Start empty.

        Args:
            topic: The topic.
            rate_hz: Its nominal rate [Hz].
        """
        self.topic, self._rate_hz = topic, rate_hz
        self.refusals: Counter[str] = Counter()
        self.frame_id = ''
        self._stamps_ns: list[int] = []
        self._arrivals_ns: list[int] = []

    @property
    def came(self) -> bool:
        """Whether there was a message."""
        return bool(self._stamps_ns)

    def add(self, stamp_ns: int, now_ns: int, refusal: str) -> None:
        """Take a message.

        Args:
            stamp_ns: Its stamp [ns, ROS clock].
            now_ns: Now [ns, ROS clock].
            refusal: Why it is refused, empty when it is good.
        """
        self._stamps_ns.append(stamp_ns)
        self._arrivals_ns.append(now_ns)
        if refusal:
            self.refusals[refusal] += 1

    def findings(self, seconds: float) -> Iterator[Finding]:
        """Yield what is to be said after so long [s]."""
        n = len(self._stamps_ns)
        yield judge(
            self.topic,
            'messages',
            n > 0,
            f'{n} in {seconds:.0f} s',
            'some',
            'start its driver; if it runs, see type, quality of service and ROS_DOMAIN_ID',
        )
        if n < 2:
            return
        rate_hz = (n - 1) / max((self._arrivals_ns[-1] - self._arrivals_ns[0]) * 1e-9, 1e-9)
        yield judge(
            self.topic,
            'rate',
            rate_hz >= SLOWEST * self._rate_hz,
            f'{rate_hz:.1f} Hz',
            f'{self._rate_hz:g} Hz',
            'set the rate of the driver, or write its real one into the robot file',
        )
        yield self._stamp_finding()
        (reason, times), *_ = self.refusals.most_common(1) or [('', 0)]
        yield judge(
            self.topic,
            'content',
            not reason,
            f'{times} of {n} refused: {reason}' if reason else 'as in the robot file',
            '',
            'make driver and robot file agree',
        )

    def _stamp_finding(self) -> Finding:
        """Return how the stamps are to their arrival and to each other."""
        late_s = np.subtract(self._arrivals_ns, self._stamps_ns) * 1e-9
        middle_s, steps_ns = float(np.median(late_s)), np.diff(self._stamps_ns)
        found = f'{middle_s * 1e3:.0f} ms old on arrival'
        level, repeated = 'error', int((steps_ns <= 0).sum())
        if not any(self._stamps_ns):
            found, advice = 'all zero', 'let the driver stamp its messages when they are measured'
        elif repeated:
            found = f'{repeated} of {len(self._stamps_ns)} not newer than the last'
            advice = (
                'stop a second publisher; a driver that repeats some on a busy machine is well'
            )
            level = 'error' if repeated > OFTEN * len(steps_ns) else 'warning'
        elif middle_s < -AHEAD_S:
            found = f'{-middle_s * 1e3:.0f} ms ahead of this clock'
            advice = 'synchronise the clocks of the machines (chrony)'
        elif middle_s > LATE_S:
            advice = 'synchronise the clocks (chrony), or relieve the machine or the network'
        else:
            advice = ''
        return judge(
            self.topic,
            'stamps',
            not advice,
            found,
            f'rising, at most {LATE_S * 1e3:.0f} ms old',
            advice,
            level,
        )

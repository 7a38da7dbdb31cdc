# SPDX-License-Identifier: Apache-2.0
"""Times of a camera's own clock as times of this machine, by offset and drift as measured.

An image arrives some time after it was taken, never before: the least delayed image of a second
tells the difference of the clocks best, and a line through those of a minute tells how fast they
drift apart. What remains in the offset is the shortest way of an image to this machine, a few
milliseconds of USB.
"""

from __future__ import annotations

from collections import deque

import numpy as np

SECOND_NS = 1_000_000_000
KEPT = 60  # seconds over which the drift is measured
ENOUGH = 10  # seconds without which no drift is assumed
JUMP_NS = 50_000_000  # a clock that is set leaps farther than the way of an image varies


class ClockMap:
    """Map the clock of one camera to that of this machine.

    Attributes:
        drift: How much faster this machine's clock runs than the camera's, as a ratio: 1e-6 is a
            microsecond each second.
    """

    def __init__(self) -> None:
        """Start without an image."""
        self.drift = 0.0
        self._least: deque[tuple[int, int]] = deque(maxlen=KEPT)  # (time, offset) of each second
        self._begin_ns = self._newest_ns = 0

    def to_system(self, hardware_ns: int, arrival_ns: int) -> int:
        """Return when an image was taken [ns, clock of this machine], never after its arrival.

        Args:
            hardware_ns: When it was taken [ns, clock of the camera].
            arrival_ns: When it arrived [ns, clock of this machine].
        """
        offset_ns = arrival_ns - hardware_ns
        if self._least and (
            hardware_ns <= self._newest_ns  # the camera started anew
            or offset_ns < self._offset_at(hardware_ns) - JUMP_NS
        ):
            self._least.clear()
            self.drift = 0.0
        self._newest_ns = hardware_ns
        if not self._least or hardware_ns - self._begin_ns >= SECOND_NS:
            self._begin_second(hardware_ns)
            self._least.append((hardware_ns, offset_ns))
        elif offset_ns < self._least[-1][1]:
            self._least[-1] = (hardware_ns, offset_ns)
        return min(hardware_ns + self._offset_at(hardware_ns), arrival_ns)

    def _begin_second(self, hardware_ns: int) -> None:
        """Measure the drift anew; a whole second far off the line means that a clock was set."""
        if self._least:
            at_ns, offset_ns = self._least[-1]
            others = list(self._least)[:-1]
            if others and offset_ns > min(offset for _, offset in others) + JUMP_NS:
                self._least.clear()
                self._least.append((at_ns, offset_ns))
                self.drift = 0.0
        self._begin_ns = hardware_ns
        if len(self._least) >= ENOUGH:
            times, offsets = np.array(self._least, dtype=np.int64).T
            x, y = (times - times[0]).astype(float), (offsets - offsets[0]).astype(float)
            self.drift = float(np.polyfit(x, y, 1)[0])

    def _offset_at(self, hardware_ns: int) -> int:
        """Return the offset at a time [ns]: the line of the drift, below all that was measured."""
        return min(
            offset_ns + round(self.drift * (hardware_ns - at_ns))
            for at_ns, offset_ns in self._least
        )

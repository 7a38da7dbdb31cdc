# SPDX-License-Identifier: Apache-2.0
"""The last messages of a stack in memory, to be written when something went wrong.

What is older than a time, or too much for the memory, is forgotten. Of a topic whose messages are
sent once, perhaps long before, the last one that was forgotten is kept: it still held when the
rest began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
import re
import shutil
from typing import NamedTuple

from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.outputs import sync

NAME = re.compile(r'\d{8}-\d{6}_')  # of a report's folder begins so: date and time
SPARE = 1.5  # times the size of the messages must be free


class Kept(NamedTuple):
    """A message.

    Attributes:
        topic: Its name in bags.
        type: Type as ``package/msg/Name``.
        data: Serialized CDR bytes.
        stamp_ns: When it arrived [ns, ROS clock].
    """

    topic: str
    type: str
    data: bytes
    stamp_ns: int


class MessageRing:
    """Messages of the last seconds in the order of their arrival.

    Attributes:
        n_bytes: Size of all that is kept.
    """

    def __init__(self, seconds: float, max_bytes: int, lasting: Iterable[str] = ()) -> None:
        """Start empty.

        Args:
            seconds: How long a message is kept [s].
            max_bytes: Most that is kept; the oldest messages give way.
            lasting: Topics whose last message holds until the next.
        """
        self.n_bytes = 0
        self._seconds, self._max_bytes = seconds, max_bytes
        self._lasting = frozenset(lasting)
        self._messages: deque[tuple[Kept, float]] = deque()  # and when it came [s, monotonic]
        self._before: dict[str, Kept] = {}  # lasting topic -> the newest that was forgotten

    def add(self, topic: str, msg_type: str, data: bytes, stamp_ns: int, now_s: float) -> None:
        """Keep a message, and forget what is too old or too much.

        Args:
            topic: Its name in bags.
            msg_type: Its type.
            data: Serialized CDR bytes.
            stamp_ns: When it arrived [ns, ROS clock].
            now_s: The same by a clock that nobody sets, by which messages grow old [s, monotonic].
        """
        self._messages.append((Kept(topic, msg_type, bytes(data), stamp_ns), now_s))
        self.n_bytes += len(data)
        while self._messages and (
            self._messages[0][1] < now_s - self._seconds or self.n_bytes > self._max_bytes
        ):
            gone, _ = self._messages.popleft()
            self.n_bytes -= len(gone.data)
            if gone.topic in self._lasting:
                self._before[gone.topic] = gone

    def snapshot(self) -> list[Kept]:
        """Return what is kept: first what holds from before, as if it came at the beginning."""
        messages = [kept for kept, _ in self._messages]
        if not messages:
            return []
        first_ns = messages[0].stamp_ns
        return [*(kept._replace(stamp_ns=first_ns) for kept in self._before.values()), *messages]


def write_report(
    folder: Path,
    name: str,
    messages: Iterable[Kept],
    details: Mapping[str, str],
    texts: Mapping[str, str],
    keep: int,
    min_free_bytes: int = 0,
) -> Path:
    """Write messages as a bag with files beside them, and forget the oldest of many reports.

    Args:
        folder: Folder of all reports, which is made.
        name: What the report's folder is called, beginning with date and time as ``NAME``.
        messages: The messages.
        details: Custom data of the bag.
        texts: Name of a further file in the folder -> what it says.
        keep: How many reports stay, the newest.
        min_free_bytes: What must be free beside the messages.

    Returns:
        The folder of the report.

    Raises:
        OSError: It cannot be written, or too little is free.
        ConfigError: The disk became full, or cannot be written.
    """
    messages = list(messages)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = round(SPARE * sum(len(kept.data) for kept in messages)) + min_free_bytes
    free = shutil.disk_usage(folder).free
    if free < wanted:
        msg = f'{folder} has {free / 1e6:.0f} MB free, {wanted / 1e6:.0f} MB are wanted'
        raise OSError(msg)
    path = folder / name
    with BagWriter(path, details) as bag:
        for kept in messages:
            bag.write(kept.topic, kept.type, kept.data, kept.stamp_ns)
    for file, text in texts.items():
        (path / file).write_text(text, encoding='utf-8')
    sync(path)  # who stopped it may well cut the power next
    for old in list_reports(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def list_reports(folder: Path) -> list[Path]:
    """Return the folders of reports in a folder, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.match(path.name) and path.is_dir())

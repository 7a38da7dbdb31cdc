# SPDX-License-Identifier: Apache-2.0
"""Events that a node reports to the command that started it, in a file of one JSON object a line.

The node that leads a stack appends while things happen; the command line follows the file and
makes its report from it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Event = dict[str, Any]  # 'event' is its kind
FILE_NAME = 'events.jsonl'
REQUESTS = 'requests.jsonl'  # in the other direction, to a node that takes them


class EventLog:
    """Append events to a file."""

    def __init__(self, path: Path) -> None:
        """Open the file behind what is in it, and make its folder.

        Args:
            path: File of the events.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open('a', encoding='utf-8')

    def write(self, event: str, **details: object) -> None:
        """Append an event at once, so that whoever follows the file gets it.

        Args:
            event: Kind of the event.
            **details: Further members of the JSON object.
        """
        self._file.write(json.dumps({'event': event, **details}) + '\n')
        self._file.flush()


def read_events(path: Path, start: int = 0) -> tuple[list[Event], int]:
    """Return the events of a file and where the next ones will begin.

    A line that is still being written is left for the next time. A file that does not exist has no
    events.

    Args:
        path: File of the events.
        start: Where to begin [bytes].
    """
    if not path.exists():
        return [], start
    with path.open('rb') as file:
        file.seek(start)
        whole, newline, _ = file.read().rpartition(b'\n')
    events = [json.loads(line) for line in whole.splitlines()]
    return events, start + len(whole) + len(newline)

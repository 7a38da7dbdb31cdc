# SPDX-License-Identifier: Apache-2.0
"""A thread that works on the newest item, for work that takes longer than a callback may.

An answer to an old query is worth less than one to a new query, so the queue has one slot and a
newer item takes the place of one that has not been begun.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, Full, Queue
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar('T')
STOP_S = 10.0  # [s] longest wait for work under way when the worker is stopped


class NewestWorker(Generic[T]):
    """One thread with a queue of one; give it items from one other thread.

    Attributes:
        replaced: Items that were replaced before their work began.
    """

    def __init__(self, work: Callable[[T], None], name: str) -> None:
        """Start the thread.

        Args:
            work: Called with one item after the other, in the thread. An exception ends the thread
                and is printed as that of any thread.
            name: Name of the thread.
        """
        self.replaced = 0
        self._work = work
        self._queue: Queue[tuple[T] | None] = Queue(maxsize=1)
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether items are still worked on; False after ``stop`` or an exception."""
        return self._thread.is_alive()

    def put(self, item: T) -> None:
        """Give the thread its next item, in place of one that it has not begun."""
        self._put((item,))

    def stop(self) -> None:
        """Drop what has not been begun and wait until the work under way is done."""
        self._put(None)
        self._thread.join(timeout=STOP_S)

    def _put(self, entry: tuple[T] | None) -> None:
        try:
            self._queue.put_nowait(entry)
        except Full:
            try:
                self._queue.get_nowait()
                self.replaced += entry is not None
            except Empty:  # the thread was quicker
                pass
            self._queue.put_nowait(entry)

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            self._work(*entry)

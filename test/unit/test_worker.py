# SPDX-License-Identifier: Apache-2.0
"""The newest item is worked on next, and an older one that still waits is dropped."""

from __future__ import annotations

from collections.abc import Iterator
import threading
from threading import Event, ExceptHookArgs

from cosmos_policy_ros.control.worker import NewestWorker
import pytest

LONG_S = 20.0  # no test waits that long unless it fails


class Slow:
    """Work that lasts until it is released, once for each item."""

    def __init__(self) -> None:
        """Start with nothing done."""
        self.done: list[int] = []
        self.began, self.release = Event(), Event()

    def __call__(self, item: int) -> None:
        """Work on an item."""
        self.began.set()
        assert self.release.wait(LONG_S)
        self.done.append(item)


@pytest.fixture
def slow() -> Iterator[Slow]:
    """Return work that ends with the test at the latest."""
    slow = Slow()
    yield slow
    slow.release.set()


def test_newer_item_takes_the_place_of_one_that_waits(slow: Slow) -> None:
    """What was begun is finished; of the three that came meanwhile only the last is worked on."""
    worker = NewestWorker(slow, 'test')
    worker.put(1)
    assert slow.began.wait(LONG_S)
    slow.began.clear()
    for item in (2, 3, 4):
        worker.put(item)
    slow.release.set()
    assert slow.began.wait(LONG_S)
    worker.stop()
    assert slow.done == [1, 4]
    assert worker.replaced == 2


def test_stop_waits_for_the_work_under_way_and_drops_the_rest(slow: Slow) -> None:
    """A node that ends does not leave the networks half-way, nor begin with another query."""
    worker = NewestWorker(slow, 'test')
    worker.put(1)
    assert slow.began.wait(LONG_S)
    worker.put(2)
    assert worker.alive
    threading.Timer(0.05, slow.release.set).start()
    worker.stop()
    assert slow.done == [1]
    assert not worker.alive
    assert worker.replaced == 0


def test_none_is_an_item_like_any_other() -> None:
    """It does not stop the worker."""
    done: list[None] = []
    began = Event()

    def work(item: None) -> None:
        done.append(item)
        began.set()

    worker = NewestWorker(work, 'test')
    worker.put(None)
    assert began.wait(LONG_S)
    worker.stop()
    assert done == [None]


def test_exception_ends_the_worker_and_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks at ``alive`` notices, and the traceback was printed."""
    caught: list[ExceptHookArgs] = []
    monkeypatch.setattr(threading, 'excepthook', caught.append)

    def fail(_: int) -> None:
        msg = 'the network failed'
        raise RuntimeError(msg)

    worker = NewestWorker(fail, 'test')
    worker.put(1)
    worker._thread.join(LONG_S)
    assert not worker.alive
    assert [str(args.exc_value) for args in caught] == ['the network failed']

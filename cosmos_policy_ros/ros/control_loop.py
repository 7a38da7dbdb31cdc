# SPDX-License-Identifier: Apache-2.0
"""A node's control loop: ticks at absolute deadlines in the thread that also runs its callbacks.

ROS timers replay what they missed or drift; these ticks do neither. One thread means no lock and
no waiting for the interpreter; callbacks must be short, since a tick waits for the running one.
"""

from __future__ import annotations

from collections.abc import Callable
import gc
import os
import time

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

try:
    from rclpy.experimental import EventsExecutor  # a third of the cost of a message
except ImportError:  # Humble has none
    EventsExecutor = SingleThreadedExecutor

SLEEP_S = 1e-3  # [s] before a deadline no callback is started any more
COLLECT_S = 1.0  # [s] between garbage collections, right after a tick


class Ticker:
    """Say when ticks are due; a missed tick is skipped, never replayed.

    Attributes:
        skipped: Ticks missed by now.
    """

    def __init__(self, period_s: float, now_s: float) -> None:
        """Make the first tick due one period from now.

        Args:
            period_s: Time between ticks [s].
            now_s: Now [s, monotonic].
        """
        self.skipped = 0
        self._period_s, self._due_s = period_s, now_s + period_s

    def wait_s(self, now_s: float) -> float:
        """Return how long until the next tick is due [s]; negative when it is late."""
        return self._due_s - now_s

    def take(self, now_s: float) -> float:
        """Begin the tick that is due and return how late it is [s]."""
        late_s = now_s - self._due_s
        missed = max(0, int(late_s / self._period_s))
        self.skipped += missed
        self._due_s += (missed + 1) * self._period_s
        return late_s


def request_realtime(priority: int) -> str:
    """Ask for real-time scheduling of this thread and return what it runs under now.

    Args:
        priority: SCHED_FIFO priority, 1 to 99; 0 does not ask.
    """
    if priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except (PermissionError, AttributeError):  # AttributeError: not Linux
            return 'normal'
        return f'fifo {priority}'
    return 'normal'


def run_ticks(node: Node, ticker: Ticker, tick: Callable[[float], None]) -> None:
    """Run a node's callbacks and its ticks until the context is shut down.

    Args:
        node: The node.
        ticker: When ticks are due.
        tick: Called at every tick with its lateness [s].
    """
    executor = EventsExecutor()
    executor.add_node(node)
    # A full collection takes 20 ms and more with torch or rclpy loaded: everything that lives now
    # stays out of it, and what is made from now on is looked at right after a tick.
    gc.collect()
    gc.freeze()
    gc.disable()
    collect_at_s = 0.0
    try:
        while node.context.ok():
            wait_s = ticker.wait_s(time.perf_counter())
            if wait_s > SLEEP_S:
                executor.spin_once(timeout_sec=wait_s - SLEEP_S)
                continue
            time.sleep(max(wait_s, 0.0))
            now_s = time.perf_counter()
            tick(ticker.take(now_s))
            if now_s >= collect_at_s:
                gc.collect()
                collect_at_s = now_s + COLLECT_S
    finally:
        gc.enable()
        gc.unfreeze()
        executor.remove_node(node)
        executor.shutdown()


def spin_events(node: Node) -> None:
    """Run a node's callbacks at the least cost per message until the context is shut down."""
    executor = EventsExecutor()
    executor.add_node(node)
    try:
        while node.context.ok():  # its own ``spin`` lets no other Python thread run
            executor.spin_once(timeout_sec=1.0)
    finally:
        executor.remove_node(node)
        executor.shutdown()

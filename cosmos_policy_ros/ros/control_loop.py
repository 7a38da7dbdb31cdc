# SPDX-License-Identifier: Apache-2.0
"""A node's control loop: ticks at absolute deadlines in the thread that also runs its callbacks.

ROS timers replay what they missed or drift; these ticks do neither. One thread means no lock and
no waiting for the interpreter; callbacks must be short, since a tick waits for the running one. A
tick begins ``LEAD_S`` before it is due, so that what it sends is ready by then.
"""

from __future__ import annotations

from collections.abc import Callable
import gc
import time

from cosmos_policy_ros.control.realtime import lock_memory
from cosmos_policy_ros.control.ticks import Ticker
from cosmos_policy_ros.ros.ending import held_signals
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

try:
    from rclpy.experimental import EventsExecutor  # a third of the cost of a message
except ImportError:  # Humble has none
    EventsExecutor = SingleThreadedExecutor

LEAD_S = 2e-3  # [s] longer than the longest callback and the work of a tick together
COLLECT_S = 1.0  # [s] between garbage collections, right after a tick


def make_executor(node: Node) -> EventsExecutor:
    """Return an executor with a node's callbacks, whatever signals come meanwhile.

    At a signal rclpy ends the context from a thread of its own. Where that happens while an
    executor registers callbacks, it leaves some behind and aborts the process in the end.
    """
    executor = EventsExecutor()
    with held_signals():
        executor.add_node(node)
        executor.spin_once(timeout_sec=0.0)
    return executor


def run_ticks(node: Node, ticker: Ticker, tick: Callable[[float], None]) -> None:
    """Run a node's callbacks and its ticks until the context is shut down.

    Args:
        node: The node.
        ticker: When ticks are due.
        tick: Called ``LEAD_S`` before a tick is due, with when that is [s, monotonic]; it waits.
    """
    lock_memory()
    executor = make_executor(node)
    # A full collection takes 20 ms and more with torch or rclpy loaded: everything that lives now
    # stays out of it, and what is made from now on is collected right after a tick.
    gc.collect()
    gc.freeze()
    gc.disable()
    collect_at_s = 0.0
    try:
        while node.context.ok():
            wait_s = ticker.wait_s(time.perf_counter())
            if wait_s > LEAD_S:
                executor.spin_once(timeout_sec=wait_s - LEAD_S)
                continue
            tick(ticker.take(time.perf_counter()))
            now_s = time.perf_counter()
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
    executor = make_executor(node)
    try:
        while node.context.ok():  # its own ``spin`` lets no other Python thread run
            executor.spin_once(timeout_sec=1.0)
    finally:
        executor.remove_node(node)
        executor.shutdown()

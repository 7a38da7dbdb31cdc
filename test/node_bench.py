# SPDX-License-Identifier: Apache-2.0
"""Nodes of a test in the process of the test, and ways to wait for what they bring about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import threading
import time
from typing import Any

import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from ros_domains import ros_domain

POLL_S = 0.02  # what no callback announces (a service that appears) is looked for this often


@contextlib.contextmanager
def ros_node(name: str, namespace: str = '/') -> Iterator[Node]:
    """Give a node on a domain of its own."""
    with ros_domain():
        rclpy.init()
        node = Node(name, namespace=namespace)
        try:
            yield node
        finally:
            node.destroy_node()
            rclpy.shutdown()


class SteppedBench:
    """Nodes that run only while the test waits, so that it may look into them.

    Args:
        nodes: The nodes; they are destroyed when the bench is closed.
    """

    def __init__(self, *nodes: Node) -> None:
        """Put the nodes on one executor."""
        self.executor = SingleThreadedExecutor()
        for node in nodes:
            self.executor.add_node(node)

    def wait(self, condition: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Run the nodes until the condition holds."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, 'nothing happened'
            self.executor.spin_once(timeout_sec=POLL_S)

    def spin(self, seconds: float) -> None:
        """Run the nodes for a while."""
        end_s = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end_s)

    def call(self, client: Any, request: Any) -> Any:
        """Call a service and return its response."""
        future = client.call_async(request)
        self.wait(future.done)
        return future.result()

    def close(self) -> None:
        """Destroy the nodes."""
        for node in self.executor.get_nodes():
            node.destroy_node()
        self.executor.shutdown()


class ThreadedBench:
    """Nodes that run in a thread beside the test, as robots and people do.

    Args:
        nodes: The nodes, of one context.
        context: Their context, by default the one of ``rclpy.init``; it ends with the bench.
    """

    def __init__(self, *nodes: Node, context: Context | None = None) -> None:
        """Start the thread."""
        self._context = context
        self._executor = SingleThreadedExecutor(context=context)
        for node in nodes:
            self._executor.add_node(node)
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while rclpy.ok(context=self._context):
            with contextlib.suppress(ExternalShutdownException, RCLError):  # while shutting down
                self._executor.spin_once(timeout_sec=POLL_S)
            with self._news:
                self._news.notify_all()

    def wait(self, condition: Callable[[], object], timeout_s: float = 120.0) -> None:
        """Wait until the condition holds; it is looked at after every callback."""
        with self._news:
            assert self._news.wait_for(condition, timeout_s), 'nothing happened'

    def call(self, client: Any, request: Any) -> Any:
        """Call a service and return its response."""
        future = client.call_async(request)
        self.wait(future.done)
        return future.result()

    def close(self) -> None:
        """End the thread and shut the context down."""
        rclpy.try_shutdown(context=self._context)
        self._thread.join(timeout=5.0)

# SPDX-License-Identifier: Apache-2.0
"""A node that another program speaks to: lines of its standard input, taken between callbacks."""

from __future__ import annotations

from collections.abc import Iterator
import os
import select
import sys

from cosmos_policy_ros.ros.control_loop import EventsExecutor
from rclpy.node import Node

SPIN_S = 0.01  # [s] between two looks at the standard input


def spin_lines(node: Node) -> Iterator[list[str]]:
    """Run a node's callbacks and yield, often, the lines that came, until the input ends.

    Args:
        node: The node; it ends with its standard input or with the context.
    """
    executor, begun = EventsExecutor(), b''
    executor.add_node(node)
    while node.context.ok():
        executor.spin_once(timeout_sec=SPIN_S)
        lines: list[bytes] = []
        if select.select([sys.stdin], [], [], 0.0)[0]:
            read = os.read(sys.stdin.fileno(), 4096)
            if not read:
                return
            *lines, begun = (begun + read).split(b'\n')
        yield [line.decode() for line in lines]

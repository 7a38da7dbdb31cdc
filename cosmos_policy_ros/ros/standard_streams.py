# SPDX-License-Identifier: Apache-2.0
"""A node that a terminal talks to: lines of its standard input, objects on its standard output.

The other end is ``stack/node_pipe.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import json
import os
import select
import sys

from cosmos_policy_ros.ros.control_loop import make_executor
from rclpy.node import Node

LOOK_S = 0.01  # [s] between two looks at the standard input, by which a key may wait


def spin_lines(node: Node, look_s: float = LOOK_S) -> Iterator[list[str]]:
    """Run a node's callbacks and yield, often, the lines that came, until the input ends.

    Args:
        node: The node; it ends with its standard input or with the context.
        look_s: Longest time between two looks [s].
    """
    executor, begun = make_executor(node), b''
    while node.context.ok():
        executor.spin_once(timeout_sec=look_s)
        lines: list[bytes] = []
        if select.select([sys.stdin], [], [], 0.0)[0]:
            read = os.read(sys.stdin.fileno(), 4096)
            if not read:
                return
            *lines, begun = (begun + read).split(b'\n')
        yield [line.decode() for line in lines]


def write_object(content: Mapping[str, object]) -> None:
    """Write a JSON object as a line of the standard output, at once."""
    sys.stdout.write(json.dumps(content) + '\n')
    sys.stdout.flush()

# SPDX-License-Identifier: Apache-2.0
"""What tests of nodes share: a ROS domain of their own, and patience."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import time

import pytest
import rclpy
from rclpy.node import Node


def ros_environment(domain: int) -> dict[str, str]:
    """Return the variables that keep a process on one domain of this machine."""
    return {'ROS_DOMAIN_ID': str(domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}


@contextmanager
def ros_domain(domain: int) -> Iterator[None]:
    """Put this process, and those it starts in the block, on a domain."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ros_environment(domain).items():
            patch.setenv(name, value)
        yield


@contextmanager
def ros_node(name: str, domain: int) -> Iterator[Node]:
    """Give a node on a domain."""
    with ros_domain(domain):
        rclpy.init()
        node = Node(name)
        yield node
        node.destroy_node()
        rclpy.shutdown()


def wait_for(condition: Callable[[], object], timeout_s: float = 120.0) -> None:
    """Wait until a condition holds."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, 'nothing happened'
        time.sleep(0.01)

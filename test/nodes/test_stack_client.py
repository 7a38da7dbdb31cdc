# SPDX-License-Identifier: Apache-2.0
"""The client of a running stack ends the motion that it allowed, or says that it could not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.ros.endpoints import create_service
from cosmos_policy_ros.ros.stack_client import StackClient
from cosmos_policy_ros.topics import ENABLE
from node_bench import ThreadedBench
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from ros_domains import ros_domain
from std_srvs.srv import SetBool


class Executor(ThreadedBench):
    """Somebody who is enabled and disabled."""

    def __init__(self) -> None:
        """Start in a context of its own."""
        context = Context()
        rclpy.init(context=context)
        self.wanted: list[bool] = []
        node = Node('command_executor', context=context)
        create_service(node, ENABLE, self._on_enable)
        super().__init__(node, context=context)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.wanted.append(request.data)
        response.success = True
        return response


@pytest.fixture
def node() -> Iterator[Node]:
    """Return a node on a domain of its own."""
    with ros_domain():
        rclpy.init()
        node = Node('leader')
        yield node
        node.destroy_node()
        rclpy.try_shutdown()


def test_motion_that_cannot_be_ended_is_told(
    node: Node, capfd: pytest.CaptureFixture[str]
) -> None:
    """Somebody has shut the context down, so that no call leaves any more."""
    executor = Executor()
    client = StackClient(node, (ENABLE,))
    client.wait(lambda: not client.missing(), 20.0, lambda: 'no executor')

    def move() -> None:
        with client.motion():
            node.context.shutdown()
            client.spin_once(0.0)

    with pytest.raises(ExternalShutdownException):
        move()
    assert executor.wanted == [True]
    executor.close()
    assert 'enable was not called: motion may still be enabled' in capfd.readouterr().err

# SPDX-License-Identifier: Apache-2.0
"""What a ros2_control controller says about itself, asked without waiting for the answer.

A controller is a node with the parameter services of every node, and whoever listens on its
topics is it. Its parameters are asked for until they come, and again after it was away or another
is in its place: a controller that is started anew may have others. One that was killed is seen on
the graph for 20 s, so it is known by its subscription and not only by its name.

Source: ros2_control's controllers declare what they read (``joints``, ``update_rate``); the
services are those of rcl_interfaces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cosmos_policy_ros.ros.endpoints import create_client, create_timer
from cosmos_policy_ros.topics import GET_CONTROLLER_PARAMETERS, LIST_CONTROLLER_PARAMETERS
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

QUERY_S = 0.5  # between two questions; one that was not answered is asked again


class Controller:
    """Parameters of a controller, as far as it has answered.

    Attributes:
        name: Full name of its node.
        parameters: Parameter -> value, None until it has answered.
    """

    def __init__(self, node: Node, topic: str) -> None:
        """Begin to ask.

        Args:
            node: Node that asks.
            topic: A topic in the name of the controller, such as ``/arm_controller/commands``.
        """
        self.name = topic.rpartition('/')[0]
        self.parameters: dict[str, Any] | None = None
        self._listening: frozenset[bytes] = frozenset()  # its subscriptions
        self._node, self._topic = node, topic
        self._list = create_client(node, LIST_CONTROLLER_PARAMETERS.at(self.name))
        self._get = create_client(node, GET_CONTROLLER_PARAMETERS.at(self.name))
        create_timer(node, QUERY_S, self._ask)

    def find_absence(self) -> str:
        """Return that it is not there or has not answered; empty once it has."""
        if not self._listens():
            return f'nobody listens on {self._topic}; start the controller {self.name}'
        if self.parameters is None:
            return (
                f'{self.name} has not answered {self._get.srv_name} yet; if it never does, it is '
                'no ros2_control controller or on another machine without that service'
            )
        return ''

    def _listens(self) -> bool:
        """Whether the controller is there; what one said that is gone is forgotten."""
        there = bool(self._node.count_subscribers(self._topic))
        if not there:
            self.parameters = None
        return there

    def _ask(self) -> None:
        """Ask for the names, since asking for one that is not declared is refused as a whole."""
        if not self._listens():
            return
        self._forget_predecessor()
        if self.parameters is None and self._list.service_is_ready():
            request = ListParameters.Request()
            self._list.call_async(request).add_done_callback(self._on_names)

    def _forget_predecessor(self) -> None:
        """Forget what a controller said in whose place there is another now."""
        found = self._node.get_subscriptions_info_by_topic(self._topic)
        listening = frozenset(
            bytes(info.endpoint_gid)
            for info in found  # who records or prints commands is no controller
            if f'{info.node_namespace.rstrip("/")}/{info.node_name}' == self.name
        )
        if listening - self._listening:
            self.parameters = None
        self._listening = listening

    def _on_names(self, future: Any) -> None:
        names = list(future.result().result.names)
        request = GetParameters.Request(names=names)
        answer = self._get.call_async(request)
        answer.add_done_callback(lambda future: self._on_values(names, future.result().values))

    def _on_values(self, names: list[str], values: list[ParameterValue]) -> None:
        if len(values) < len(names):  # one was taken away meanwhile; it is asked again
            return
        numbers = [parameter_value_to_python(value) for value in values]
        self.parameters = dict(zip(names, numbers, strict=True))


def watch_controller(
    node: Node, topic: str, refuse: Callable[[dict[str, Any]], str]
) -> Callable[[], str]:
    """Return a function that says why a controller would not do as commanded; empty if it would.

    Args:
        node: Node that asks.
        topic: The controller's command topic.
        refuse: Returns what is wrong with the controller's parameters, empty when nothing is.
    """
    controller = Controller(node, topic)

    def find_trouble() -> str:
        if absence := controller.find_absence():
            return absence
        assert controller.parameters is not None
        reason = refuse(controller.parameters)
        return f'{controller.name} {reason}' if reason else ''

    return find_trouble

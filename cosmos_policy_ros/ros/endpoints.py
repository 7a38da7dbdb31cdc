# SPDX-License-Identifier: Apache-2.0
"""Publishers, subscriptions, services, clients and actions of ``topics.py``, and timers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from cosmos_policy_ros.topics import Action, Qos, Service, Topic
from rclpy.action import ActionClient, ActionServer
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.timer import Timer


def create_publisher(node: Node, topic: Topic) -> Publisher:
    """Return a publisher of a topic, which says nothing once the context is shut down.

    A signal shuts it down in the middle of a callback, and that is no error of the callback.
    """
    publisher = node.create_publisher(
        ros_class(topic.type), topic.ros_name, qos_profile(topic.qos)
    )

    send = publisher.publish

    def publish(message: Any) -> None:
        try:
            send(message)
        except RuntimeError:
            if node.context.ok():
                raise

    publisher.publish = publish
    return publisher


def has_listeners(publisher: Publisher) -> bool:
    """Return whether somebody subscribes; nobody does once the context is shut down."""
    try:
        return publisher.get_subscription_count() > 0
    except RuntimeError:  # as in the middle of a callback
        return False


def create_subscription(
    node: Node,
    topic: Topic,
    callback: Callable[[Any], None],
    qos: Qos | None = None,
    raw: bool = False,
) -> Subscription:
    """Return a subscription to a topic.

    Args:
        node: Node that owns it.
        topic: The topic.
        callback: Called with every message.
        qos: Quality of service of the subscription; None is that of the topic for subscribers.
        raw: Whether ``callback`` gets the serialized bytes instead of a message.
    """
    profile = qos_profile(qos or topic.subscriber_qos or topic.qos)
    return node.create_subscription(
        ros_class(topic.type), topic.ros_name, callback, profile, raw=raw
    )


def create_service(node: Node, service: Service, callback: Callable[[Any, Any], Any]) -> None:
    """Answer a service with ``callback``, which gets request and response."""
    node.create_service(ros_class(service.type), service.ros_name, callback)


def create_slow_service(
    node: Node, service: Service, callback: Callable[[Any, Any, Callable[[], None]], None]
) -> None:
    """Answer a service when the answer is known, while other callbacks run.

    rclpy sends what a callback returns at once. Here that waits for a call.

    Args:
        node: Node that answers.
        service: The service.
        callback: Called with request, response, and a function that sends the response as it is
            then, to be called once, at any time.
    """
    newest: list[_Answer] = []

    def on_request(request: Any, response: Any) -> Any:
        answer = _Answer(lambda header: type(server).send_response(server, response, header))
        newest[:] = [answer]
        callback(request, response, answer.send)
        return response

    def send_response(_response: Any, header: Any) -> None:
        """Take the place of the server's method, which rclpy calls after ``on_request``."""
        newest[0].address(header)

    server = node.create_service(ros_class(service.type), service.ros_name, on_request)
    server.send_response = send_response


class _Answer:
    """A response that leaves once it is known what it says and whom it is for."""

    def __init__(self, leave: Callable[[Any], None]) -> None:
        self._leave, self._known, self._header = leave, False, None

    def send(self) -> None:
        self._known = True
        if self._header is not None:
            self._leave(self._header)

    def address(self, header: Any) -> None:
        self._header = header
        if self._known:
            self._leave(header)


def create_timer(
    node: Node, period_s: float, callback: Callable[[], object], alone: bool = False
) -> Timer:
    """Call a function again and again, by a clock that nobody sets.

    Timers of rclpy go by the ROS clock: where it is set back by an hour they stop for an hour.

    Args:
        node: Node whose executor calls.
        period_s: From one call to the next [s].
        callback: The function.
        alone: Whether the timer has a clock of its own, for which rclpy starts a thread. All
            others of a process share one, and rclpy warns where eight do.

    Returns:
        What can be cancelled and begun again.
    """
    clock = Clock(clock_type=ClockType.STEADY_TIME) if alone else _steady_clock()
    return node.create_timer(period_s, callback, clock=clock)


@cache
def _steady_clock() -> Clock:
    return Clock(clock_type=ClockType.STEADY_TIME)


def create_client(node: Node, service: Service) -> Client:
    """Return a client of a service."""
    return node.create_client(ros_class(service.type), service.ros_name)


def create_action_client(node: Node, action: Action) -> ActionClient:
    """Return a client of an action."""
    return ActionClient(node, ros_class(action.type), action.name)


def create_action_server(
    node: Node,
    action: Action,
    execute: Callable[[Any], Any],
    accept: Callable[[Any], Any],
    begin: Callable[[Any], None],
    cancel: Callable[[Any], Any],
) -> ActionServer:
    """Return a server of an action.

    Args:
        node: Node that owns it.
        action: The action.
        execute: Returns the result of a goal handle, also as a coroutine.
        accept: Returns the ``GoalResponse`` for a request.
        begin: Called with the handle of an accepted goal, which it executes.
        cancel: Returns the ``CancelResponse`` for a handle.
    """
    return ActionServer(
        node,
        ros_class(action.type),
        action.name,
        execute,
        goal_callback=accept,
        handle_accepted_callback=begin,
        cancel_callback=cancel,
    )


def has_messages(topic: Topic) -> bool:
    """Return whether the message package of a topic is installed."""
    return find_spec(topic.type.partition('/')[0]) is not None


def ros_class(name: str) -> type:
    """Return the class of a message, service or action such as ``sensor_msgs/msg/Image``."""
    package, kind, class_name = name.split('/')
    return getattr(import_module(f'{package}.{kind}'), class_name)


def qos_profile(qos: Qos) -> QoSProfile:
    """Return a quality of service as the profile of ROS."""
    return QoSProfile(
        depth=qos.depth,
        reliability=ReliabilityPolicy[qos.reliability.upper()],
        durability=DurabilityPolicy[qos.durability.upper()],
    )

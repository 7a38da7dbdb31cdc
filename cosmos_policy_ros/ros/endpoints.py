# SPDX-License-Identifier: Apache-2.0
"""Publishers, subscriptions, services, clients and actions of a node from ``topics.py``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from cosmos_policy_ros.topics import Action, Qos, Service, Topic
from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription


def create_publisher(node: Node, topic: Topic) -> Publisher:
    """Return a publisher of a topic."""
    return node.create_publisher(ros_class(topic.type), topic.ros_name, qos_profile(topic.qos))


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
        qos: Quality of service of the subscription; None is that of the topic.
        raw: Whether ``callback`` gets the serialized bytes instead of a message.
    """
    profile = qos_profile(qos or topic.qos)
    return node.create_subscription(
        ros_class(topic.type), topic.ros_name, callback, profile, raw=raw
    )


def create_service(node: Node, service: Service, callback: Callable[[Any, Any], Any]) -> None:
    """Answer a service with ``callback``, which gets request and response."""
    node.create_service(ros_class(service.type), service.ros_name, callback)


def create_client(node: Node, service: Service) -> Client:
    """Return a client of a service."""
    return node.create_client(ros_class(service.type), service.ros_name)


def create_action_client(node: Node, action: Action) -> ActionClient:
    """Return a client of an action."""
    return ActionClient(node, ros_class(action.type), action.name)


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

# SPDX-License-Identifier: Apache-2.0
"""How a node reports its health: figures for people, and a typed status for other nodes.

``/diagnostics`` is for people and recordings, and one for all robots of a network: the name of a
status there begins with the namespace of its node, and its hardware id is the robot or the device.
What other nodes decide by is a status of ``status.py`` on a topic of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription
from cosmos_policy_ros.status import from_values, qualified_name, Status, to_values
from cosmos_policy_ros.topics import DIAGNOSTICS, Topic
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.subscription import Subscription

T = TypeVar('T', bound=Status)
LEVELS = {
    'ok': DiagnosticStatus.OK,
    'warn': DiagnosticStatus.WARN,
    'error': DiagnosticStatus.ERROR,
    'stale': DiagnosticStatus.STALE,
}


class Diagnostics:
    """Publish one named status on ``/diagnostics``."""

    def __init__(self, node: Node, name: str, hardware_id: str = '') -> None:
        """Open ``/diagnostics``.

        Args:
            node: Node that reports.
            name: Name of its status, to which its namespace is added.
            hardware_id: Name of the robot, or which camera it is.
        """
        self._clock, self._hardware_id = node.get_clock(), hardware_id
        self._name = qualified_name(node.get_namespace(), name)
        self._publisher = create_publisher(node, DIAGNOSTICS)

    def publish(self, level: str, message: str, **figures: object) -> None:
        """Publish the status now.

        Args:
            level: ``ok``, ``warn``, ``error`` or ``stale``.
            message: What is the matter, for people.
            **figures: Figures by name, shown as text.
        """
        text = {key: str(figure) for key, figure in figures.items()}
        status = _message(self._name, level, message, text)
        status.hardware_id = self._hardware_id
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._clock.now().to_msg()
        self._publisher.publish(array)


class StatusReport:
    """Publish a typed status for other nodes, and its figures on ``/diagnostics``."""

    def __init__(self, node: Node, topic: Topic, name: str, hardware_id: str = '') -> None:
        """Open both topics.

        Args:
            node: Node that reports.
            topic: Topic of the typed status.
            name: Name of the status.
            hardware_id: As of ``Diagnostics``.
        """
        self._name = name
        self._publisher = create_publisher(node, topic)
        self._diagnostics = Diagnostics(node, name, hardware_id)

    def publish(self, level: str, message: str, status: Status) -> None:
        """Publish the status now.

        Args:
            level: ``ok``, ``warn``, ``error`` or ``stale``.
            message: What is the matter, for people.
            status: The status.
        """
        self._publisher.publish(_message(self._name, level, message, to_values(status)))
        self._diagnostics.publish(level, message, **status.figures())


def subscribe_status(
    node: Node, topic: Topic, cls: type[T], callback: Callable[[T], None]
) -> Subscription:
    """Call ``callback`` with every typed status of another node; log one that is malformed.

    Args:
        node: Node that owns the subscription.
        topic: Topic of the status.
        cls: Class of the status.
        callback: Called with it.
    """

    def on_message(message: DiagnosticStatus) -> None:
        try:
            status = from_values(cls, {pair.key: pair.value for pair in message.values})
        except ValueError as error:
            node.get_logger().error(f'{topic.name}: {error}')
            return
        callback(status)

    return create_subscription(node, topic, on_message)


def _message(name: str, level: str, message: str, values: Mapping[str, str]) -> DiagnosticStatus:
    status = DiagnosticStatus(level=LEVELS[level], name=name, message=message)
    status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
    return status

# SPDX-License-Identifier: Apache-2.0
"""How a node reports its health: figures for people, and a typed status for other nodes.

``/diagnostics`` is for people and recordings, and one for all robots of a network: the name of a
status there begins with the namespace of its node, and its hardware id is the robot or the device.
What other nodes decide by is a status of ``status.py`` on a topic of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import time
from typing import TypeVar

from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription
from cosmos_policy_ros.status import from_values, qualified_name, Status, to_values
from cosmos_policy_ros.topics import DIAGNOSTICS, DIAGNOSTICS_AGG, Topic
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.subscription import Subscription

T = TypeVar('T', bound=Status)
STALE_S = 5.0  # [s] after which a status that is not reported again is stale
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


class DiagnosticsTree:
    """What all nodes of a namespace report on ``/diagnostics``, as one tree for people."""

    def __init__(self, node: Node, root: str) -> None:
        """Subscribe to ``/diagnostics``.

        Args:
            node: Node that publishes the tree; what is reported in its namespace is in it.
            root: Name of the tree, which shows its worst level.
        """
        self._clock, self._root = node.get_clock(), root
        self._begin = qualified_name(node.get_namespace(), '')
        self._newest: dict[str, tuple[DiagnosticStatus, float]] = {}  # by name, with arrival [s]
        self._publisher = create_publisher(node, DIAGNOSTICS_AGG)
        create_subscription(node, DIAGNOSTICS, self._on_diagnostics)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.startswith(self._begin):
                self._newest[status.name] = status, time.monotonic()

    def publish(self) -> None:
        """Publish the tree; what has not been reported for some time is stale."""
        now_s, leaves = time.monotonic(), []
        for name, (status, at_s) in sorted(self._newest.items()):
            leaf = DiagnosticStatus(level=status.level, message=status.message)
            leaf.name, leaf.values = f'/{self._root}/{name}', status.values
            leaf.hardware_id = status.hardware_id
            if now_s - at_s > STALE_S:
                leaf.level, leaf.message = LEVELS['stale'], f'silent for {now_s - at_s:.0f} s'
            leaves.append(leaf)
        worst = max(leaves, key=lambda leaf: leaf.level, default=None)
        top = DiagnosticStatus(name=f'/{self._root}', level=LEVELS['stale'], message='silent')
        if worst is not None:
            top.level, top.message = worst.level, worst.message
        array = DiagnosticArray(status=[top, *leaves])
        array.header.stamp = self._clock.now().to_msg()
        self._publisher.publish(array)


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

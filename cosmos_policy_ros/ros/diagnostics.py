# SPDX-License-Identifier: Apache-2.0
"""How a node reports its health on ``/diagnostics``."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

LEVELS = {
    'ok': DiagnosticStatus.OK,
    'warn': DiagnosticStatus.WARN,
    'error': DiagnosticStatus.ERROR,
    'stale': DiagnosticStatus.STALE,
}


class Diagnostics:
    """Publish one named status."""

    def __init__(self, node: Node, name: str) -> None:
        """Open ``/diagnostics``.

        Args:
            node: Node that reports.
            name: Name of its status.
        """
        self._clock, self._name = node.get_clock(), name
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)

    def publish(self, level: str, message: str, **values: object) -> None:
        """Publish the status now.

        Args:
            level: ``ok``, ``warn``, ``error`` or ``stale``.
            message: What is the matter, for people.
            **values: Figures by name, shown as text.
        """
        status = DiagnosticStatus(level=LEVELS[level], name=self._name, message=message)
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._clock.now().to_msg()
        self._publisher.publish(array)

# SPDX-License-Identifier: Apache-2.0
"""How many messages of every sensor arrive, and how many are lost, for people."""

from __future__ import annotations

from collections import deque
from functools import partial
import time
from typing import Any

from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.topics import camera_images, JOINT_STATES
from rclpy.node import Node

WINDOW_S = 3.0  # over which messages are counted


class StreamRates:
    """Counts messages without unpacking them, for as long as somebody wants to know."""

    def __init__(self, node: Node, robot: RobotSpec) -> None:
        """Subscribe to all cameras and arms.

        Args:
            node: Node that owns the subscriptions.
            robot: Robot with the nominal rates.
        """
        self._node, self._since_s = node, time.monotonic()
        streams = [
            (camera.name, camera_images(camera), camera.rate_hz) for camera in robot.cameras
        ]
        streams += [
            (topic, JOINT_STATES.at(topic), robot.joint_state_rate_hz)
            for topic in dict.fromkeys(robot.joint_state_topics)
        ]
        self._nominal_hz = {name: rate_hz for name, _, rate_hz in streams}
        self._arrivals_s: dict[str, deque[float]] = {name: deque() for name in self._nominal_hz}
        self._subscriptions = [
            create_subscription(node, topic, partial(self._on_message, name), raw=True)
            for name, topic, _ in streams
        ]

    def _on_message(self, name: str, _data: bytes) -> None:
        arrivals_s, now_s = self._arrivals_s[name], time.monotonic()
        arrivals_s.append(now_s)
        while now_s - arrivals_s[0] > WINDOW_S:
            arrivals_s.popleft()

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for every stream: name, rate_hz, nominal_hz, lost (0 to 1) and age_s.

        The age is that of the newest message [s], None before the first. What a sensor sends too
        slowly counts as lost too. Any thread may ask.
        """
        now_s = time.monotonic()
        window_s = min(max(now_s - self._since_s, 0.1), WINDOW_S)
        rows = []
        for name, arriving_s in self._arrivals_s.items():
            arrivals_s = list(arriving_s)  # which goes on in the thread of the node
            age_s = now_s - arrivals_s[-1] if arrivals_s else None
            n = sum(now_s - at_s <= window_s for at_s in arrivals_s)
            rate_hz, nominal_hz = n / window_s, self._nominal_hz[name]
            lost = min(max(1.0 - rate_hz / nominal_hz, 0.0), 1.0)
            rows.append(
                {
                    'name': name,
                    'rate_hz': rate_hz,
                    'nominal_hz': nominal_hz,
                    'lost': lost,
                    'age_s': age_s,
                }
            )
        return rows

    def close(self) -> None:
        """End the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

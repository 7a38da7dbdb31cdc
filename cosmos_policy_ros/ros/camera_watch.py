# SPDX-License-Identifier: Apache-2.0
"""When the newest image of each camera arrived, at the cost of a time stamp per image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cosmos_policy_ros.robot import CameraSpec
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.topics import IMAGE
from rclpy.node import Node


class CameraWatch:
    """Subscribe to cameras without unpacking their images."""

    def __init__(self, node: Node, cameras: Sequence[CameraSpec]) -> None:
        """Subscribe.

        Args:
            node: Node that owns the subscriptions.
            cameras: Cameras to watch.
        """
        self._clock = node.get_clock()
        self._newest_ns: dict[str, int | None] = {camera.topic: None for camera in cameras}
        for topic in self._newest_ns:
            # raw: the message is never unpacked
            create_subscription(node, IMAGE.at(topic), partial(self._on_image, topic), raw=True)

    def _on_image(self, topic: str, _message: bytes) -> None:
        self._newest_ns[topic] = self._clock.now().nanoseconds

    def silent(self, now_ns: int, max_age_s: float) -> str:
        """Return which camera has been silent for too long, empty when none has.

        Args:
            now_ns: Now [ns, ROS clock].
            max_age_s: How long a camera may be silent [s].
        """
        for topic, newest_ns in self._newest_ns.items():
            if newest_ns is None:
                return f'{topic} has sent no image yet; check that the camera runs'
            age_s = (now_ns - newest_ns) * 1e-9
            if age_s > max_age_s:
                limit_ms = max_age_s * 1e3
                return f'{topic} is silent for {age_s * 1e3:.0f} ms, limit {limit_ms:.0f} ms'
        return ''

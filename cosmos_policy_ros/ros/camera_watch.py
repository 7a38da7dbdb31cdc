# SPDX-License-Identifier: Apache-2.0
"""When each camera was last heard, at the cost of a time stamp per image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cosmos_policy_ros.robot import CameraSpec
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image


class CameraWatch:
    """Subscribe to the cameras without looking at their images."""

    def __init__(self, node: Node, cameras: Sequence[CameraSpec]) -> None:
        """Subscribe.

        Args:
            node: Node that owns the subscriptions.
            cameras: Cameras to watch.
        """
        self._clock = node.get_clock()
        self._heard_ns: dict[str, int | None] = {camera.topic: None for camera in cameras}
        for topic in self._heard_ns:
            # raw: the message is never unpacked
            node.create_subscription(
                Image, topic, partial(self._on_image, topic), qos_profile_sensor_data, raw=True
            )

    def _on_image(self, topic: str, _message: bytes) -> None:
        self._heard_ns[topic] = self._clock.now().nanoseconds

    def silent(self, now_ns: int, max_age_s: float) -> str:
        """Return which camera has been silent for too long, empty when none has.

        Args:
            now_ns: Now [ns, ROS clock].
            max_age_s: How long a camera may be silent [s].
        """
        for topic, heard_ns in self._heard_ns.items():
            if heard_ns is None:
                return f'{topic} was never heard; check that the camera runs'
            age_s = (now_ns - heard_ns) * 1e-9
            if age_s > max_age_s:
                limit_ms = max_age_s * 1e3
                return f'{topic} is silent for {age_s * 1e3:.0f} ms, limit {limit_ms:.0f} ms'
        return ''

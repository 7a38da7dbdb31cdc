# SPDX-License-Identifier: Apache-2.0
"""Since when each camera has shown nothing new, at the cost of a few rows per image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cosmos_policy_ros.robot import CameraSpec
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.ros.image_check import AHEAD_NS, ImageCheck
from cosmos_policy_ros.topics import (
    camera_images,
)
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
        self._seen_ns: dict[str, int | None] = {camera.topic: None for camera in cameras}
        self._refusals = dict.fromkeys(self._seen_ns, '')  # topic -> why not its last image
        for camera in cameras:
            # raw: the message is never unpacked
            callback = partial(self._on_image, camera.topic, ImageCheck(camera))
            create_subscription(node, camera_images(camera), callback, raw=True)

    def _on_image(self, topic: str, check: ImageCheck, message: bytes) -> None:
        now_ns = self._clock.now().nanoseconds
        self._refusals[topic] = check.refuse_message(message, now_ns)
        if not self._refusals[topic]:
            self._seen_ns[topic] = now_ns

    def blind(self, now_ns: int, max_age_s: float) -> str:
        """Return which camera has shown nothing new for too long and why; empty when none has.

        Args:
            now_ns: Now [ns, ROS clock].
            max_age_s: How long a camera may show nothing new [s].
        """
        for topic, seen_ns in self._seen_ns.items():
            refusal = self._refusals[topic]
            if seen_ns is None:
                hint = f': {refusal}' if refusal else '; check that the camera runs'
                return f'{topic} has sent no image yet{hint}'
            age_s = (now_ns - seen_ns) * 1e-9
            if seen_ns > now_ns + AHEAD_NS:
                return f'{topic} has sent nothing since the clock was set back'
            if age_s > max_age_s:
                age = f'{age_s * 1e3:.0f} ms, limit {max_age_s * 1e3:.0f} ms'
                if refusal:
                    return f'{topic} shows nothing new for {age}; its last image: {refusal}'
                return f'{topic} is silent for {age}'
        return ''

# SPDX-License-Identifier: Apache-2.0
"""Publishes the cameras that the robot file has a driver for, each from a thread of its own.

An image that shows nothing new is told on ``/diagnostics`` and not published: a camera that is
frozen, black or unplugged falls silent, and the arms hold.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
import threading
import time

from cosmos_policy_ros.control.realtime import request_realtime
from cosmos_policy_ros.drivers.frame import Frame
from cosmos_policy_ros.drivers.jpeg import encode_jpeg
from cosmos_policy_ros.drivers.table import keep_frames
from cosmos_policy_ros.robot import CameraSpec, read_robot
from cosmos_policy_ros.ros.convert import (
    camera_info_message,
    compressed_message,
    image_message,
    optical_frame,
)
from cosmos_policy_ros.ros.diagnostics import Diagnostics
from cosmos_policy_ros.ros.endpoints import create_publisher, create_timer, has_listeners
from cosmos_policy_ros.ros.image_check import ImageCheck
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.topics import camera_info, COMPRESSED_IMAGE, IMAGE
from cosmos_policy_ros.types import ConfigError
from rclpy.node import Node

REPORT_S = 1.0
SLOW = 0.9  # of the nominal rate, below which a camera is warned of
JOIN_S = 2.0  # how long the end of a camera is waited for; it waits for an image at most 1 s


@dataclass(frozen=True)
class CameraParams:
    """Parameters of the camera node."""

    robot: str = param('', 'Robot YAML file with the drivers; the launch file sets it.')
    camera: str = param('', 'Name of the one camera to publish; empty takes all with a driver.')
    compressed: bool = param(
        False,
        'true publishes JPEG images too, on the topic of a camera with /compressed behind it, '
        'while somebody subscribes; for people at other machines.',
    )
    jpeg_quality: int = param(
        90, 'Quality of the JPEG images; a lower one needs less of the network.', 1, 100
    )
    realtime_priority: int = param(
        40, "SCHED_FIFO priority, below the executor's; 0 keeps normal scheduling.", 0, 99
    )


class CameraStream:
    """One camera: its images published from a thread, and what became of them."""

    def __init__(self, node: Node, camera: CameraSpec, params: CameraParams) -> None:
        """Start the thread; the camera is opened, and opened again, by it.

        Args:
            node: Node that publishes.
            camera: The camera, with a driver.
            params: Parameters of the node.
        """
        self._camera, self._params = camera, params
        self._logger, self._context = node.get_logger(), node.context
        self._images = create_publisher(node, IMAGE.at(camera.topic))
        self._infos = create_publisher(node, camera_info(camera.topic))
        compressed = COMPRESSED_IMAGE.at(f'{camera.topic}/compressed')
        self._compressed = create_publisher(node, compressed) if params.compressed else None
        name, device = f'{node.get_name()}/{camera.name}', f'{camera.driver} {camera.device}'
        self._diagnostics = Diagnostics(node, name, device)
        self._check = ImageCheck(camera)
        self._frame_id = optical_frame(camera.name, node.get_namespace())
        self._counts: Counter[str] = Counter()  # images published and refused, and losses
        self._reported = 0  # images published before the last report
        self._report_s = time.monotonic()
        self._latency_ms = 0.0
        self._trouble = 'has sent no image yet'
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=camera.name)
        self._thread.start()

    def close(self) -> None:
        """End the thread and close the camera."""
        self._stop.set()
        self._thread.join(JOIN_S)

    def report(self) -> None:
        """Publish how the camera does on ``/diagnostics``."""
        now_s, published = time.monotonic(), self._counts['images']
        rate_hz = (published - self._reported) / (now_s - self._report_s)
        self._reported, self._report_s = published, now_s
        message = self._trouble or f'{rate_hz:.1f} Hz'
        level = 'error' if self._trouble else 'ok'
        if not self._trouble and rate_hz < SLOW * self._camera.rate_hz:
            level = 'warn' if rate_hz else 'error'
            message = f'{rate_hz:.1f} Hz instead of {self._camera.rate_hz:g} Hz'
        self._diagnostics.publish(
            level,
            message,
            driver=self._camera.driver,
            device=self._camera.device,
            rate_hz=f'{rate_hz:.1f}',
            latency_ms=f'{self._latency_ms:.1f}',
            **{name: self._counts[name] for name in ('images', 'refused', 'losses')},
        )

    def _run(self) -> None:
        request_realtime(self._params.realtime_priority)
        try:
            for frame in keep_frames(self._camera, self._on_loss, self._stop):
                self._take(frame)
        except RuntimeError:
            if self._context.ok():  # otherwise Ctrl-C came while an image was being published
                raise

    def _on_loss(self, reason: str) -> None:
        self._counts['losses'] += 1
        self._note(reason)

    def _take(self, frame: Frame) -> None:
        """Publish an image, unless it shows nothing new."""
        stamp_ns = frame.stamp_ns  # the system clock is the ROS clock of a real robot
        self._note(self._check.refuse_image(frame.image, stamp_ns, time.time_ns()))
        if self._trouble:
            self._counts['refused'] += 1
            return
        message = image_message(frame.image, stamp_ns, self._frame_id)
        self._images.publish(message)
        self._infos.publish(camera_info_message(message, frame.intrinsics))
        self._counts['images'] += 1
        self._latency_ms = (time.time_ns() - stamp_ns) * 1e-6
        if self._compressed is not None and has_listeners(self._compressed):
            jpeg = encode_jpeg(frame.image, self._params.jpeg_quality)
            self._compressed.publish(compressed_message(jpeg, stamp_ns, self._frame_id))

    def _note(self, trouble: str) -> None:
        """Keep why nothing is published, and log it when it begins and when it ends."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            self._logger.warning(f'{self._camera.name}: {trouble}; nothing is published')
        else:
            self._logger.info(f'{self._camera.name}: publishing {self._camera.topic}')


class CameraNode(Node):
    """Publish all cameras of a robot that have a driver, or one of them."""

    def __init__(self) -> None:
        """Open the topics and start the cameras.

        Raises:
            ConfigError: The robot file is wrong, or has no such camera with a driver.
        """
        super().__init__('camera')
        params = declare(self, CameraParams)
        robot = read_robot(Path(params.robot), self.get_namespace())
        cameras = [c for c in robot.cameras if c.driver and params.camera in ('', c.name)]
        if not cameras:
            which = f'camera {params.camera!r}' if params.camera else 'camera'
            msg = f'{params.robot} has no {which} with a driver; give it driver and device, see '
            msg += 'cosmos-policy cameras'
            raise ConfigError(msg)
        self._streams = [CameraStream(self, camera, params) for camera in cameras]
        create_timer(self, REPORT_S, self._report)
        names = [f'{c.name} ({c.driver} {c.device})' for c in cameras]
        self.get_logger().info(f'opening {", ".join(names)}')

    def destroy_node(self) -> None:
        """Close the cameras."""
        for stream in self._streams:
            stream.close()
        super().destroy_node()

    def _report(self) -> None:
        for stream in self._streams:
            stream.report()


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(CameraNode)


if __name__ == '__main__':
    main()

# SPDX-License-Identifier: Apache-2.0
"""The camera node: what it publishes, what it does not, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from pathlib import Path
import threading
import time
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy')

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.image_decoder import image_array
from cosmos_policy_ros.nodes.camera_node import CameraNode
from cosmos_policy_ros.types import ConfigError
from diagnostic_msgs.msg import DiagnosticArray
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data, QoSProfile, ReliabilityPolicy
from ros_domains import ros_domain
from samples import ROBOT, sample_image
from sensor_msgs.msg import CompressedImage, Image

ROOT = Path(__file__).parents[2]
SERIAL = '130322270001'


def write_robot(path: Path, *cameras: dict[str, Any]) -> Path:
    """Write the robot file of the simulator with other cameras."""
    robot = yaml.safe_load((ROOT / 'config' / 'robots' / 'aloha_sim.yaml').read_text('utf-8'))
    robot['cameras'] = list(cameras)
    path.write_text(yaml.safe_dump(robot), encoding='utf-8')
    return path


def camera(name: str, device: object, driver: str = 'file', **changes: object) -> dict[str, Any]:
    """Return a camera of a robot file."""
    row = {'name': name, 'topic': f'/{name}/image_raw', 'width': 320, 'height': 240}
    return {**row, 'rate_hz': 50.0, 'driver': driver, 'device': str(device), **changes}


def write_images(folder: Path, *images: np.ndarray) -> Path:
    """Write images as a folder that the driver ``file`` shows."""
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f'{number}.png'), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


class Bench(ThreadedBench):
    """A camera node and somebody who looks at its images."""

    def __init__(self, robot: Path, *parameters: str) -> None:
        """Start both."""
        words = [w for p in (f'robot:={robot}', *parameters) for w in ('-p', p)]
        rclpy.init(args=['--ros-args', *words])
        self.node = CameraNode()
        self.viewer = Node('viewer', use_global_arguments=False)
        self.images: list[Image] = []
        self.status: dict[str, tuple[bytes, str, dict[str, str]]] = {}
        self.viewer.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        super().__init__(self.node, self.viewer)

    def look(self, topic: str) -> None:
        """Listen to a camera, reliably, as RViz does."""
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self.viewer.create_subscription(Image, topic, self.images.append, qos)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {v.key: v.value for v in status.values}
            self.status[status.name] = (status.level, status.message, values)

    def close(self) -> None:
        """Close the cameras too."""
        super().close()
        self.node.destroy_node()


@pytest.fixture
def start() -> Iterator[Callable[..., Bench]]:
    """Return a function that starts a bench on a domain of its own."""
    with ros_domain(), contextlib.ExitStack() as ends:

        def start_bench(robot: Path, *parameters: str) -> Bench:
            bench = Bench(robot, *parameters)
            ends.callback(bench.close)
            return bench

        yield start_bench


def test_images_have_the_stamp_of_their_taking_and_a_frame(
    tmp_path: Path, start: Callable[..., Bench]
) -> None:
    """They reach a reliable subscriber, which gets nothing of a best-effort driver."""
    folder = write_images(tmp_path / 'film', sample_image(0), sample_image(1))
    bench = start(write_robot(tmp_path / 'robot.yaml', camera('high', folder)))
    bench.look('/high/image_raw')
    bench.wait(lambda: len(bench.images) > 20)
    newest = bench.images[-1]
    now_ns = bench.viewer.get_clock().now().nanoseconds
    first, second = bench.images[10], bench.images[11]
    assert first.header.frame_id == 'high_optical_frame'
    assert (first.encoding, first.width, first.height) == ('rgb8', 320, 240)
    seen = [image_array(first).tobytes(), image_array(second).tobytes()]
    assert sorted(seen) == sorted([sample_image(0).tobytes(), sample_image(1).tobytes()])
    assert 0 < now_ns - stamp_of(newest) < 1e9
    gap_s = (stamp_of(bench.images[20]) - stamp_of(bench.images[0])) * 1e-9 / 20
    assert gap_s == pytest.approx(0.02, abs=0.005)
    bench.wait(lambda: bench.status.get('camera/high', (b'', '', {}))[0] == b'\0')
    assert bench.status['camera/high'][1].endswith(' Hz')


@pytest.mark.parametrize(
    ('image', 'reason'),
    [(sample_image(0), 'it is frozen'), (np.zeros((240, 320, 3), np.uint8), 'it is black')],
)
def test_camera_that_shows_nothing_new_falls_silent(
    tmp_path: Path, start: Callable[..., Bench], image: np.ndarray, reason: str
) -> None:
    """A folder of one image is a frozen camera; nothing of it is published as fresh."""
    folder = write_images(tmp_path / 'film', image)
    bench = start(write_robot(tmp_path / 'robot.yaml', camera('high', folder)))
    bench.look('/high/image_raw')
    bench.wait(lambda: 'camera/high' in bench.status)
    level, message, values = bench.status['camera/high']
    assert (level, values['driver']) == (b'\2', 'file')
    assert reason in message
    assert int(values['refused']) > 20
    assert len(bench.images) <= 1


def test_jpeg_is_sent_while_somebody_looks(tmp_path: Path, start: Callable[..., Bench]) -> None:
    """Beside the plain images, under the name that image_transport gives it."""
    folder = write_images(tmp_path / 'film', sample_image(0), sample_image(1))
    robot = write_robot(tmp_path / 'robot.yaml', camera('high', folder))
    bench = start(robot, 'compressed:=true')
    seen: list[CompressedImage] = []
    bench.viewer.create_subscription(
        CompressedImage, '/high/image_raw/compressed', seen.append, qos_profile_sensor_data
    )
    bench.wait(lambda: seen)
    assert 'jpeg' in seen[0].format
    image = cv2.imdecode(np.frombuffer(seen[0].data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    error = min(np.abs(image - sample_image(k).astype(int)).mean() for k in (0, 1))
    assert error < 4


def test_one_camera_of_many_can_have_a_process_of_its_own(
    tmp_path: Path, start: Callable[..., Bench]
) -> None:
    """The others are somebody else's, as are those without a driver."""
    folder = write_images(tmp_path / 'film', sample_image(0), sample_image(1))
    rows = [camera('high', folder), camera('low', folder)]
    bench = start(write_robot(tmp_path / 'robot.yaml', *rows), 'camera:=low')
    bench.wait(lambda: bench.viewer.count_publishers('/low/image_raw'))
    assert bench.viewer.count_publishers('/high/image_raw') == 0


def test_robot_without_drivers_is_refused(start: Callable[..., Bench]) -> None:
    """With what to do about it."""
    robot = ROOT / 'config' / 'robots' / 'aloha_sim.yaml'
    with pytest.raises(ConfigError, match='has no camera with a driver; give it driver and'):
        start(robot)
    rclpy.shutdown()


def test_missing_camera_is_told_and_appears_when_it_is_plugged_in(
    tmp_path: Path, start: Callable[..., Bench]
) -> None:
    """The real RealSense library, with a software camera that comes, goes and comes again."""
    pytest.importorskip('pyrealsense2', exc_type=ImportError)
    from realsense_device import SoftwareRealSense

    row = camera('high', SERIAL, 'realsense', width=640, height=480, rate_hz=60.0)
    bench = start(write_robot(tmp_path / 'robot.yaml', row))
    bench.look('/high/image_raw')

    def told(text: str) -> bool:
        return text in bench.status.get('camera/high', (b'', '', {}))[1]

    bench.wait(lambda: told(f"no RealSense '{SERIAL}'; plugged in: []"))
    rng, stop = np.random.default_rng(0), threading.Event()
    device = SoftwareRealSense()

    def send() -> None:
        while not stop.wait(1 / 60):
            image = rng.integers(0, 256, (480, 640, 3), np.uint8)
            device.send(image, time.monotonic() * 1e3)

    thread = threading.Thread(target=send)
    thread.start()
    bench.wait(lambda: len(bench.images) > 10)
    stop.set()
    thread.join()
    device.unplug()
    n = len(bench.images)
    bench.wait(lambda: told('has sent nothing for 1.0 s') or told('no RealSense'))
    assert len(bench.images) < n + 5
    assert ROBOT.cameras[0].driver == ''

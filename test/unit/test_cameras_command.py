# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy cameras``: the list, the picture and the exit status."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import threading

from cosmos_policy_ros.cli.cameras import Cameras, plain_cameras, run
from cosmos_policy_ros.drivers.contact_sheet import draw_sheet, Shot
from cosmos_policy_ros.drivers.frame import Device
import cv2
import numpy as np
import pytest
from samples import ROBOT, sample_image
import yaml

CAMERA = replace(ROBOT.cameras[0], driver='file', device='film')


def write_robot(folder: Path, *devices: Path) -> Path:
    """Write a robot file whose cameras are folders of images."""
    source = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
    robot = yaml.safe_load(source.read_text('utf-8'))
    for camera, device in zip(robot['cameras'], devices, strict=False):
        camera.update(driver='file', device=str(device), rate_hz=200.0)
    path = folder / 'robot.yaml'
    path.write_text(yaml.safe_dump(robot), encoding='utf-8')
    return path


def test_picture_has_a_tile_for_every_camera() -> None:
    """Three in a row; a camera without an image is grey."""
    image = np.full((240, 320, 3), (200, 30, 30), np.uint8)
    shots = [Shot(CAMERA, image), Shot(CAMERA, None, 'unplugged'), *[Shot(CAMERA, image)] * 2]
    sheet = draw_sheet(shots)
    assert sheet.shape == (2 * 416, 3 * 480, 3)
    assert sheet[200, 200].tolist() == [200, 30, 30]
    assert sheet[200, 480 + 200].tolist() == [160, 160, 160]
    assert sheet[416 + 200, 200].tolist() == [200, 30, 30]
    assert sheet[416 + 200, 1000].tolist() == [255, 255, 255]


def test_cameras_of_a_robot_file_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those with a driver; the others are somebody else's."""
    film = tmp_path / 'film'
    film.mkdir()
    cv2.imwrite(str(film / 'a.png'), cv2.cvtColor(sample_image(0), cv2.COLOR_RGB2BGR))
    out = tmp_path / 'cameras.jpg'
    assert run(Cameras(write_robot(tmp_path, film, film), out)) == 0
    assert cv2.imread(str(out)).shape == (416, 960, 3)
    assert f'wrote {out}' in capsys.readouterr().out


def test_camera_that_shows_nothing_is_named_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The picture is written all the same, and the exit status is 1."""
    out = tmp_path / 'cameras.jpg'
    assert run(Cameras(write_robot(tmp_path, tmp_path / 'nothing'), out)) == 1
    assert f'no image: high: no images in {tmp_path}/nothing' in capsys.readouterr().out
    assert out.exists()


def test_devices_without_a_robot_file_are_cameras_of_vga() -> None:
    """Named after their model."""
    (camera,) = plain_cameras([Device('realsense', '1303', 'Intel RealSense D405', 'USB 3.2')])
    assert (camera.name, camera.driver, camera.device) == (
        'Intel RealSense D405',
        'realsense',
        '1303',
    )
    assert (camera.width, camera.height, camera.rate_hz) == (640, 480, 30.0)


def test_realsense_cameras_are_listed_and_shown_by_the_real_library(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A software device of the library, streaming images of one colour."""
    pytest.importorskip('pyrealsense2', exc_type=ImportError)
    from realsense_device import SoftwareRealSense

    device, stop = SoftwareRealSense(rate_hz=30), threading.Event()
    image = np.full((480, 640, 3), (30, 200, 30), np.uint8)

    def send() -> None:
        k = 0
        while not stop.wait(1 / 60):
            k += 1
            device.send(image, 16.7 * k)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        assert run(Cameras(out=tmp_path / 'cameras.jpg')) == 0
    finally:
        stop.set()
        thread.join()
        device.unplug()
    assert 'realsense  130322270001  Intel RealSense D405  USB 3.2' in capsys.readouterr().out
    seen = cv2.imread(str(tmp_path / 'cameras.jpg'))[200, 200]
    assert seen.tolist() == pytest.approx([30, 200, 30], abs=6)

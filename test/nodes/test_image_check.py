# SPDX-License-Identifier: Apache-2.0
"""Which images are not believed, by the bytes of their messages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.drivers.jpeg import encode_jpeg
from cosmos_policy_ros.nodes.sim_node import add_sensor_noise
from cosmos_policy_ros.ros.camera_watch import CameraWatch
from cosmos_policy_ros.ros.convert import image_message
from cosmos_policy_ros.ros.image_check import ImageCheck, read_form
from cosmos_policy_ros.sim.robot_scene import load_scene
from node_bench import ros_node
from rclpy.serialization import serialize_message
from samples import ROBOT, sample_image
from sensor_msgs.msg import CompressedImage, Image

pytestmark = pytest.mark.patient

CAMERA = ROBOT.cameras[0]  # 320x240
NOW_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def message(image: np.ndarray, stamp_ns: int = NOW_NS, **changes: object) -> bytes:
    """Return a serialized Image with some fields changed."""
    plain = image_message(image, stamp_ns, 'high_optical_frame')
    for name, value in changes.items():
        setattr(plain, name, value)
    return serialize_message(plain)


@pytest.mark.parametrize('frame_id', ['', 'a', 'ab', 'abc', 'cam_high_optical_frame'])
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono16', ''])
def test_form_is_read_from_the_bytes_whatever_the_lengths_of_its_texts(
    frame_id: str, encoding: str
) -> None:
    """CDR puts numbers on multiples of four behind texts of any length."""
    plain = image_message(sample_image(0), 5 * 10**9 + 7, frame_id)
    plain.encoding = encoding
    data = serialize_message(plain)
    form = read_form(data)
    assert (form.stamp_ns, form.width, form.height) == (5_000_000_007, 320, 240)
    assert (form.encoding, form.step, form.n_bytes) == (encoding, 960, 230_400)
    assert data[form.first : form.first + 230_400] == plain.data.tobytes()


def test_new_images_are_believed() -> None:
    """Noise is all that has to change."""
    check = ImageCheck(CAMERA)
    assert check.refuse_message(message(sample_image(1)), NOW_NS) == ''
    assert check.refuse_message(message(sample_image(2), NOW_NS + MS), NOW_NS) == ''


def test_frozen_image_with_new_stamps_is_refused_until_it_changes() -> None:
    """A driver that sends its last image again is blind, whatever it stamps."""
    check, frozen = ImageCheck(CAMERA), sample_image(1)
    assert check.refuse_message(message(frozen), NOW_NS) == ''
    assert 'frozen' in check.refuse_message(message(frozen, NOW_NS + MS), NOW_NS)
    assert 'frozen' in check.refuse_message(message(frozen, NOW_NS + 2 * MS), NOW_NS)
    assert check.refuse_message(message(sample_image(2), NOW_NS + 3 * MS), NOW_NS) == ''


def test_equal_images_are_believed_of_a_camera_without_noise() -> None:
    """Of a simulator that draws a scene at rest twice."""
    check, image = ImageCheck(replace(CAMERA, noise=False)), sample_image(1)
    assert check.refuse_message(message(image), NOW_NS) == ''
    assert check.refuse_message(message(image, NOW_NS + MS), NOW_NS) == ''


def test_a_clock_that_was_set_back_makes_new_images_new_again() -> None:
    """Their stamps would not be newer than the last for an hour."""
    check = ImageCheck(CAMERA)
    assert check.refuse_message(message(sample_image(1)), NOW_NS) == ''
    earlier_ns = NOW_NS - 3_600_000 * MS
    assert check.refuse_message(message(sample_image(2), earlier_ns), earlier_ns) == ''
    assert 'not newer' in check.refuse_message(message(sample_image(3), earlier_ns), earlier_ns)


def test_a_camera_that_was_seen_before_the_clock_was_set_back_is_blind() -> None:
    """It would pass for seen for an hour, whatever became of it."""
    with ros_node('watch') as node:
        watch, check = CameraWatch(node, [CAMERA]), ImageCheck(CAMERA)
        now_ns = node.get_clock().now().nanoseconds
        watch._on_image(CAMERA.topic, check, message(sample_image(1), now_ns))
        assert watch.blind(now_ns + 100 * MS, 0.25) == ''
        assert watch.blind(now_ns - 3_600_000 * MS, 0.25) == (
            f'{CAMERA.topic} has sent nothing since the clock was set back'
        )


def test_stamp_that_stands_still_is_refused() -> None:
    """It would be old for the policy, and the arms would move on."""
    check = ImageCheck(CAMERA)
    assert check.refuse_message(message(sample_image(1)), NOW_NS) == ''
    assert 'not newer' in check.refuse_message(message(sample_image(2)), NOW_NS)


def test_stamp_from_the_future_is_refused_and_blocks_nothing() -> None:
    """One image a minute ahead must not hide those after it."""
    check = ImageCheck(CAMERA)
    ahead = message(sample_image(1), NOW_NS + 60 * 10**9)
    assert '60.0 s ahead of this clock' in check.refuse_message(ahead, NOW_NS)
    assert check.refuse_message(message(sample_image(2)), NOW_NS) == ''


@pytest.mark.parametrize('noise', [0, 3])
def test_black_image_is_refused(noise: int) -> None:
    """Also the black of a sensor, which is not quite 0."""
    black = np.random.default_rng(0).integers(0, noise + 1, (240, 320, 3), np.uint8)
    assert 'black' in ImageCheck(CAMERA).refuse_message(message(black), NOW_NS)


def test_dark_room_is_no_black_image() -> None:
    """A quarter of the light that a lamp gives is enough."""
    dark = (sample_image(0) // 8).astype(np.uint8)
    assert dark.mean() < 20
    assert ImageCheck(CAMERA).refuse_message(message(dark), NOW_NS) == ''


def test_other_size_and_encoding_are_refused_with_both_sides() -> None:
    """Wrong settings of a driver are told as such."""
    check = ImageCheck(CAMERA)
    large = message(np.full((480, 640, 3), 90, np.uint8))
    assert 'sends 640x480 images, the robot file has 320x240' in check.refuse_message(
        large, NOW_NS
    )
    depth = message(sample_image(0), encoding='16UC1')
    assert "encoding '16UC1' is depth" in check.refuse_message(depth, NOW_NS)
    bayer = message(sample_image(0), encoding='bayer_rggb8')
    assert "encoding 'bayer_rggb8' is not supported" in check.refuse_message(bayer, NOW_NS)


@pytest.mark.parametrize('length', [0, 1, 10, 30, 60, 1000, 200_000])
def test_message_that_is_cut_off_is_refused(length: int) -> None:
    """Whatever arrives, the control loop goes on."""
    assert ImageCheck(CAMERA).refuse_message(message(sample_image(0))[:length], NOW_NS) != ''


def test_rows_shorter_than_the_image_are_refused() -> None:
    """The pixels would be somewhere else."""
    narrow = message(sample_image(0), step=900)
    assert 'rows of 900 bytes' in ImageCheck(CAMERA).refuse_message(narrow, NOW_NS)
    assert ImageCheck(CAMERA).refuse_message(serialize_message(Image()), NOW_NS) != ''


def test_simulated_cameras_at_rest_are_believed_and_frozen_ones_are_not() -> None:
    """Renders of a scene at rest are equal to the bit; the noise of the simulator tells them."""
    scene = load_scene('transfer_cube', ROBOT)
    scene.reset(0)
    rng = np.random.default_rng(0)
    for camera in ROBOT.cameras:
        check = ImageCheck(camera)
        first, second = scene.render(camera.name).copy(), scene.render(camera.name)
        np.testing.assert_array_equal(first, second)
        seen = [add_sensor_noise(image, rng) for image in (first, second)]
        assert np.abs(seen[0].astype(int) - second).max() == 1
        assert check.refuse_image(seen[0], NOW_NS, NOW_NS) == ''
        assert check.refuse_image(seen[1], NOW_NS + 1, NOW_NS) == ''
        assert 'frozen' in check.refuse_image(seen[1], NOW_NS + 2, NOW_NS)


def test_watch_says_which_camera_is_blind_since_when_and_why() -> None:
    """What the executor holds with."""
    with ros_node('watch_test') as node:
        watch = CameraWatch(node, [CAMERA])
        check = ImageCheck(CAMERA)
        assert watch.blind(0, 0.25) == (
            '/high/image_raw has sent no image yet; check that the camera runs'
        )
        now_ns = node.get_clock().now().nanoseconds
        watch._on_image(CAMERA.topic, check, message(sample_image(0), now_ns))
        assert watch.blind(now_ns, 0.25) == ''
        assert '/high/image_raw is silent for' in watch.blind(now_ns + 10_000 * MS, 0.25)
        watch._on_image(CAMERA.topic, check, message(sample_image(0), now_ns + MS))
        reason = watch.blind(now_ns + 10_000 * MS, 0.25)
        assert '/high/image_raw shows nothing new for' in reason
        assert 'frozen' in reason


@pytest.mark.parametrize(('encoding', 'channels'), [('bgra8', 4), ('mono8', 1), ('uyvy', 2)])
def test_other_encodings_are_believed_by_their_own_rows(encoding: str, channels: int) -> None:
    """A black one is refused as such, though its alpha or its colour difference is bright."""
    rng = np.random.default_rng(0)
    black = np.full((240, 320, channels), {4: 0, 1: 0, 2: 128}[channels], np.uint8)
    if channels == 4:
        black[:, :, 3] = 255
    if channels == 2:
        black[:, :, 1] = 16
    for pixels, told in (
        (rng.integers(90, 120, black.shape, dtype=np.uint8), ''),
        (black, 'black'),
    ):
        plain = image_message(sample_image(0), NOW_NS, 'high')
        plain.encoding, plain.step = encoding, 320 * channels
        plain.data = pixels.tobytes()
        refusal = ImageCheck(CAMERA).refuse_message(serialize_message(plain), NOW_NS)
        assert told in refusal
        assert bool(told) == bool(refusal)


def test_compressed_images_are_watched_by_their_bytes() -> None:
    """New ones are believed, frozen ones and other files are not."""
    check = ImageCheck(replace(CAMERA, transport='compressed'))

    def send(file: bytes, after_ns: int) -> str:
        plain = CompressedImage(format='rgb8; jpeg compressed bgr8', data=file)
        plain.header.stamp.sec, plain.header.stamp.nanosec = divmod(NOW_NS + after_ns, 10**9)
        return check.refuse_message(serialize_message(plain), NOW_NS)

    first, second = (encode_jpeg(sample_image(i), 90) for i in (1, 2))
    assert send(first, 0) == ''
    assert 'frozen' in send(first, MS)
    assert send(second, 2 * MS) == ''
    assert 'neither JPEG nor PNG' in send(b'abcdef', 3 * MS)

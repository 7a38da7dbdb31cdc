# SPDX-License-Identifier: Apache-2.0
"""Every image message that cameras send is the RGB picture it shows; depth is none."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import av
from cosmos_policy_ros.image_decoder import decode_file, image_array, ImageDecoder
import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest
from samples import sample_image

RED, BLUE = (200, 0, 0), (0, 0, 200)
LEFT_RED = np.zeros((16, 32, 3), np.uint8)
LEFT_RED[:, :16], LEFT_RED[:, 16:] = RED, BLUE


def raw(encoding: str, pixels: list[Any], **changes: Any) -> SimpleNamespace:
    """Return a sensor_msgs/Image of one row of pixels, each a list of its bytes."""
    data = bytes(np.array(pixels, np.uint8).reshape(-1))
    fields = {'height': 1, 'width': len(pixels), 'step': len(data), 'data': data}
    return SimpleNamespace(**fields | {'encoding': encoding} | changes)


def image_file(form: str, image: NDArray[np.uint8] = LEFT_RED) -> bytes:
    """Return an RGB image as a file."""
    file = BytesIO()
    Image.fromarray(image).save(file, form, **({'quality': 95} if form == 'JPEG' else {}))
    return file.getvalue()


def compressed(data: bytes, form: str = 'jpeg') -> SimpleNamespace:
    """Return a sensor_msgs/CompressedImage."""
    return SimpleNamespace(format=form, data=np.frombuffer(data, np.uint8))


def video_packets(
    n: int = 12, codec: str = 'libx264', size: tuple[int, int] = (48, 64), bf: str = '0'
) -> list[bytes]:
    """Return n packets of video, brighter by 10 each, with a key frame every fifth.

    Args:
        n: How many.
        codec: What encodes them.
        size: Height and width [px].
        bf: Most B-frames in a row.
    """
    encoder = av.CodecContext.create(codec, 'w')
    encoder.height, encoder.width, encoder.pix_fmt = *size, 'yuv420p'
    encoder.time_base, encoder.options = Fraction(1, 30), {'bf': bf, 'g': '5', 'crf': '10'}
    packets = []
    for k in range(n):
        frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 10 * k, np.uint8), format='rgb24')
        frame.pts = k
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in (*packets, *encoder.encode(None))]


def test_rgb_image_is_a_view_of_the_bytes() -> None:
    """Nothing is copied where nothing has to be."""
    image = image_array(raw('rgb8', [[1, 2, 3], [4, 5, 6]]))
    assert image.tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert image.base is not None


def test_bytes_behind_the_pixels_of_a_row_are_skipped() -> None:
    """Drivers pad rows to a step."""
    message = raw('rgb8', [0], height=2, width=1, step=4, data=bytes([1, 2, 3, 0, 5, 6, 7, 0]))
    assert image_array(message).tolist() == [[[1, 2, 3]], [[5, 6, 7]]]


@pytest.mark.parametrize(
    ('encoding', 'pixel', 'rgb'),
    [
        ('bgr8', [3, 2, 1], [1, 2, 3]),
        ('8UC3', [3, 2, 1], [1, 2, 3]),
        ('rgba8', [1, 2, 3, 255], [1, 2, 3]),
        ('bgra8', [3, 2, 1, 255], [1, 2, 3]),
        ('8UC4', [3, 2, 1, 255], [1, 2, 3]),
        ('mono8', [7], [7, 7, 7]),
        ('8UC1', [7], [7, 7, 7]),
    ],
)
def test_channels_of_an_encoding_become_rgb(
    encoding: str, pixel: list[int], rgb: list[int]
) -> None:
    """The order of a driver does not reach the policy."""
    assert image_array(raw(encoding, [pixel, pixel])).tolist() == [[rgb, rgb]]


@pytest.mark.parametrize(
    ('encoding', 'pair'),
    [
        ('yuv422_yuy2', [[81, 90], [81, 240]]),
        ('yuyv', [[81, 90], [81, 240]]),
        ('yuv422', [[90, 81], [240, 81]]),
        ('uyvy', [[90, 81], [240, 81]]),
    ],
)
def test_red_in_yuv_is_red(encoding: str, pair: list[list[int]]) -> None:
    """Y 81, U 90, V 240 is red by BT.601, for both pixels that share U and V."""
    image = image_array(raw(encoding, pair)).astype(int)
    assert np.abs(image - [[[255, 0, 0], [255, 0, 0]]]).max() <= 2


@pytest.mark.parametrize('encoding', ['16UC1', 'mono16', '32FC1'])
def test_depth_is_refused(encoding: str) -> None:
    """Distances are no colours."""
    with pytest.raises(ValueError, match=f"'{encoding}' is depth, a colour image is expected"):
        ImageDecoder().decode(raw(encoding, [[1, 2], [3, 4]]))


def test_unknown_encoding_is_refused_with_those_that_are_known() -> None:
    """A person sees what to set in the driver."""
    with pytest.raises(ValueError, match="'bayer_rggb8' is not supported; publish one of rgb8, b"):
        image_array(raw('bayer_rggb8', [[1], [2]]))


def test_image_of_the_wrong_length_is_refused() -> None:
    """Missing bytes are noticed."""
    with pytest.raises(ValueError, match='image of 5 bytes is not 1 rows of 6 bytes, 2 px'):
        image_array(raw('rgb8', [[1, 2, 3], [4, 5, 6]], data=bytes(5)))


@pytest.mark.parametrize(
    ('form', 'kind'),
    [
        ('jpeg', 'JPEG'),
        ('rgb8; jpeg compressed bgr8', 'JPEG'),
        ('bgr8; png compressed bgr8', 'PNG'),
    ],
)
def test_compressed_image_is_decoded(form: str, kind: str) -> None:
    """Left is red and right is blue, by whatever name image_transport calls it."""
    image = ImageDecoder().decode(compressed(image_file(kind), form))
    assert image is not None
    assert np.abs(image.astype(int) - LEFT_RED)[:, [2, -3]].max() < 12


def test_compressed_depth_is_refused() -> None:
    """Both by its format and by the 16 bits of its pixels."""
    depth = BytesIO()
    Image.fromarray(np.full((4, 4), 900, np.uint16)).save(depth, 'PNG')
    message = compressed(depth.getvalue(), '16UC1; compressedDepth png')
    with pytest.raises(ValueError, match='is depth, a colour image is expected'):
        ImageDecoder().decode(message)
    with pytest.raises(ValueError, match='as those of depth are; RGB is expected'):
        ImageDecoder().decode(compressed(depth.getvalue(), 'png'))


def test_colours_of_printers_are_refused_as_what_they_are() -> None:
    """They are no depth."""
    file = BytesIO()
    Image.new('CMYK', (4, 4)).save(file, 'JPEG')
    with pytest.raises(ValueError, match=r"^its pixels are 'CMYK'; RGB is expected"):
        ImageDecoder().decode(compressed(file.getvalue()))


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (bytes(100), 'it is empty'),
        (b'abcdefgh', '8 bytes that begin with 61 62 63 64 are no JPEG or PNG'),
        (image_file('JPEG')[:-100], 'bytes are damaged'),
        (image_file('PNG', sample_image(0))[:-9000], 'bytes are damaged'),
    ],
)
def test_damaged_file_is_refused(data: bytes, message: str) -> None:
    """Half a picture is none."""
    with pytest.raises(ValueError, match=message):
        ImageDecoder().decode(compressed(data))


@pytest.mark.parametrize(('codec', 'form'), [('libx264', 'h264'), ('libx265', 'h265')])
def test_video_is_decoded_packet_by_packet(codec: str, form: str) -> None:
    """As foxglove.CompressedVideo has it."""
    decoder = ImageDecoder()
    shown = [decoder.decode(compressed(data, form)) for data in video_packets(12, codec)]
    levels = [-1 if image is None else int(image[24, 32, 0]) for image in shown]
    assert np.abs(np.array(levels) - 10 * np.arange(12)).max() <= 3


def test_video_begins_with_its_first_key_frame() -> None:
    """A recording that was started in between shows nothing until then."""
    decoder = ImageDecoder()
    shown = [decoder.decode(compressed(data, 'h264')) for data in video_packets()[3:]]
    assert [image is None for image in shown] == [True, True] + [False] * 7


def test_packet_of_ffmpeg_image_transport_is_video_too() -> None:
    """Its format is called encoding, and may name the encoder and more."""
    message = SimpleNamespace(encoding='libx264;yuv420p', data=video_packets()[0], pts=0)
    image = ImageDecoder().decode(message)
    assert image is not None
    assert image.shape == (48, 64, 3)


def test_video_whose_frames_change_places_is_refused() -> None:
    """An image would be that of a message some packets before."""
    decoder = ImageDecoder()
    shown = (decoder.decode(compressed(data, 'h264')) for data in video_packets(bf='2'))
    with pytest.raises(ValueError, match=r'come out in another order .*B-frames.*without them'):
        list(shown)


def test_video_of_another_codec_is_named() -> None:
    """It is no damaged JPEG."""
    message = SimpleNamespace(timestamp=0, format='vp9', data=b'abcd')
    with pytest.raises(ValueError, match=r"format 'vp9' is not read, one of h264, .* is expec"):
        ImageDecoder().decode(message)


def test_video_of_single_files_is_read() -> None:
    """As ffmpeg_image_transport makes it with the encoder mjpeg."""
    image = ImageDecoder().decode(
        SimpleNamespace(encoding='mjpeg', data=image_file('JPEG'), pts=0)
    )
    assert image is not None


def test_mosaic_in_a_file_is_refused_as_one_in_a_message_is() -> None:
    """A grey file of a Bayer sensor; one whose colours were computed is read."""
    grey = LEFT_RED[:, :, :1].repeat(3, axis=2)
    message = compressed(image_file('PNG', grey), 'bayer_rggb8; png compressed ')
    with pytest.raises(
        ValueError, match=r"'bayer_rggb8; .* is the mosaic of a sensor.*debayer it"
    ):
        ImageDecoder().decode(message)
    coloured = compressed(image_file('PNG'), 'bayer_rggb8; png compressed bgr8')
    assert ImageDecoder().decode(coloured) is not None
    dark = compressed(image_file('PNG', grey * 0), 'bayer_rggb8; png compressed bgr8')
    assert ImageDecoder().decode(dark) is not None


def test_width_that_pairs_of_pixels_cannot_have_is_refused() -> None:
    """Two pixels share their colour there."""
    with pytest.raises(
        ValueError, match=r'of 5 px a row cannot be yuv422_yuy2, .*even width is ex'
    ):
        image_array(raw('yuv422_yuy2', [[128, 128]] * 5))


def test_jpeg_without_an_end_is_damaged_whatever_follows() -> None:
    """Zeros behind it, as of rows of one length, would be decoded as grey."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, 'JPEG')
    whole = file.getvalue()
    assert decode_file(whole + bytes(100)).shape == (64, 64, 3)
    for torn in (whole[:-400], whole[:-400] + bytes(1000), whole[:-2] + bytes(50)):
        with pytest.raises(ValueError, match=r'damaged \(the JPEG file has no end\)'):
            decode_file(torn)


def test_torn_packet_of_video_is_refused() -> None:
    """A decoder would show what it makes up, until the next key frame."""
    rng = np.random.default_rng(0)
    encoder = av.CodecContext.create('libx264', 'w')
    encoder.height, encoder.width, encoder.pix_fmt = 48, 64, 'yuv420p'
    encoder.time_base, encoder.options = Fraction(1, 25), {'bf': '0', 'tune': 'zerolatency'}
    packets = []
    for number in range(4):
        pixels = rng.integers(0, 255, (48, 64, 3), np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
        frame.pts = number
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    decoder = ImageDecoder()
    assert decoder.decode(compressed(packets[0], 'h264')) is not None
    with pytest.raises(ValueError, match=r'h264 packet of .* bytes is damaged'):
        decoder.decode(compressed(packets[1][: len(packets[1]) // 2], 'h264'))


def sliced_packets(n: int) -> list[list[bytes]]:
    """Return the units of n packets, the first with a key frame, each of four slices."""
    encoder = av.CodecContext.create('libx264', 'w')
    encoder.height, encoder.width, encoder.pix_fmt = 96, 128, 'yuv420p'
    encoder.time_base = Fraction(1, 25)
    encoder.options = {'bf': '0', 'g': '4', 'tune': 'zerolatency'}
    encoder.options |= {'x264-params': 'sliced-threads=0:slices=4'}
    scene = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    packets = []
    for number in range(n):
        frame = av.VideoFrame.from_ndarray(np.roll(scene, 2 * number, 1), format='rgb24')
        frame.pts = number
        packets += encoder.encode(frame)
    packets = [bytes(packet) for packet in (*packets, *encoder.encode(None))]
    return [[b'\0\0\1' + unit for unit in p.split(b'\0\0\1')[1:]] for p in packets]


@pytest.mark.parametrize('gone', [0, 1, 3])
def test_packet_without_a_slice_is_refused_and_the_next_ones_wait(gone: int) -> None:
    """The decoder fills the part in with that of the image before, and builds on it."""
    decoder, packets = ImageDecoder(), sliced_packets(6)
    assert len(packets[1]) == 4
    del packets[1][gone]
    sent = [compressed(b''.join(units), 'h264') for units in packets]
    assert decoder.decode(sent[0]) is not None
    with pytest.raises(ValueError, match='is damaged: the decoder made up some of its pixels'):
        decoder.decode(sent[1])
    shown = [decoder.decode(message) is None for message in sent[2:]]
    assert shown == [True, True, False, False]


def test_what_cameras_add_beside_the_images_spoils_none() -> None:
    """Decoders do not understand it, and need not."""
    odd = b'\0\0\1\x06\x05\x05abc\x80'  # user data that are shorter than they may be
    decoder, packets = ImageDecoder(), sliced_packets(4)
    for units in packets:
        assert decoder.decode(compressed(odd + b''.join(units) + bytes(20), 'h264')) is not None


def test_images_of_h265_behind_a_lost_packet_wait_too() -> None:
    """The decoder knows by itself what is missing."""
    decoder, packets = ImageDecoder(), video_packets(14, 'libx265')
    shown = [decoder.decode(compressed(packets[k], 'h265')) for k in range(14) if k != 6]
    assert [image is None for image in shown] == [False] * 6 + [True] * 3 + [False] * 4


def test_images_behind_a_lost_packet_wait_for_the_next_key_frame() -> None:
    """They would be those of before, smeared: every packet counts on the one before."""
    decoder, packets = ImageDecoder(), video_packets(14)
    shown = [decoder.decode(compressed(packets[k], 'h264')) for k in range(14) if k != 6]
    assert [image is None for image in shown] == [False] * 6 + [True] * 3 + [False] * 4
    levels = [int(image[24, 32, 0]) for image in shown if image is not None]
    assert np.abs(np.array(levels) - 10 * np.array([*range(6), *range(10, 14)])).max() <= 3

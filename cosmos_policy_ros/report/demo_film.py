# SPDX-License-Identifier: Apache-2.0
"""The film of a demo: images of the cameras above those that the policy predicted for the time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.data.bags.files import read_topics
from cosmos_policy_ros.image_decoder import image_array
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.topics import future_image
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (height, width, 3) RGB
TILE = (320, 240)  # [px] width and height of one view
GAP, STRIP = 4, 22  # [px] between views, and the caption above each
VERDICT_S = 1.0  # [s] that the last image of an episode stays
BACKGROUND, WHITE, GREY = (24, 24, 28), (235, 235, 235), (160, 160, 165)
GREEN, RED = (90, 210, 110), (235, 90, 80)


def write_film(path: Path, report: dict[str, Any], robot: RobotSpec) -> None:
    """Write all episodes as one H.264 film in real time.

    Args:
        path: MP4 file to write.
        report: Figures of the demo with the bag of every episode.
        robot: The cameras.
    """
    rate = Fraction(robot.cameras[0].rate_hz).limit_denominator(1000)
    width = len(robot.cameras) * (TILE[0] + GAP) - GAP
    height = STRIP + 2 * (STRIP + TILE[1])
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('libx264', rate=rate, options={'crf': '22', 'preset': 'veryfast'})
        stream.width, stream.height, stream.pix_fmt = width - width % 2, height, 'yuv420p'
        for number, episode in enumerate(report['episodes'], 1):
            for image in draw_episode(number, episode, robot, float(rate)):
                even = av.VideoFrame.from_ndarray(image[:, : stream.width])
                file.mux(stream.encode(even))
        file.mux(stream.encode())


def draw_episode(
    number: int, episode: dict[str, Any], robot: RobotSpec, rate_hz: float
) -> Iterator[Image]:
    """Yield the (height, width, 3) uint8 RGB images of an episode.

    Args:
        number: Which episode of the demo it is, from 1.
        episode: Its figures.
        robot: The cameras.
        rate_hz: Images per second [Hz].
    """
    futures = {c.name: future_image(c.name).name for c in robot.cameras}
    topics = [c.topic for c in robot.cameras] + list(futures.values())
    messages = read_topics(Path(episode['bag']), topics)
    start_ns = episode['start_ns']
    image: Image = np.zeros((0, 0, 3), np.uint8)
    for tick in range(round(episode['seconds'] * rate_hz)):
        now_s = tick / rate_hz
        now_ns = start_ns + round(now_s * 1e9)
        columns = []
        for camera in robot.cameras:
            live = _newest(messages[camera.topic], now_ns)
            future = _newest(messages[futures[camera.name]], now_ns)
            due = None if future is None else (stamp_of(future) - start_ns) * 1e-9
            expected = 'no prediction yet' if due is None else f'expected at {due:.1f} s'
            top = _view(camera.name, live, WHITE)
            columns.append(np.concatenate([top, _view(expected, future, GREY)]))
        image = _draw_page(number, episode, now_s, columns)
        yield image
    verdict = ('success', GREEN) if episode['success'] else ('no success', RED)
    last = image.copy()
    _write(last, *verdict, last.shape[1] - 110)
    for _ in range(round(VERDICT_S * rate_hz)):
        yield last


def _draw_page(number: int, episode: dict[str, Any], now_s: float, columns: list[Image]) -> Image:
    """Return the views side by side below the headline."""
    gap = np.full((len(columns[0]), GAP, 3), BACKGROUND, np.uint8)
    row = [part for column in columns for part in (column, gap)][:-1]
    body = np.concatenate(row, axis=1)
    head = np.full((STRIP, body.shape[1], 3), BACKGROUND, np.uint8)
    answers = episode['candidates']
    done = [a['values'][a['best']] for a in answers if a['at_s'] + a['query_ms'] * 1e-3 <= now_s]
    value = f'value {done[-1]:.2f}' if done and done[-1] is not None else ''
    seed = f'   seed {episode["seed"]}' if 'seed' in episode else ''
    _write(head, f'episode {number}{seed}   {now_s:4.1f} s   {value}', WHITE)
    return np.concatenate([head, body])


def _view(caption: str, message: Any, color: tuple[int, int, int]) -> Image:
    """Return an image of the size of a tile below its caption; black when there is none."""
    strip = np.full((STRIP, TILE[0], 3), BACKGROUND, np.uint8)
    _write(strip, caption, color)
    if message is None:
        return np.concatenate([strip, np.zeros((TILE[1], TILE[0], 3), np.uint8)])
    image = np.ascontiguousarray(image_array(message))
    if image.shape[1::-1] != TILE:  # the policy takes squares; this undoes the squeezing
        image = cv2.resize(image, TILE, interpolation=cv2.INTER_CUBIC)
    return np.concatenate([strip, image])


def _newest(messages: list[tuple[int, Any]], now_ns: int) -> Any:
    """Return the newest message that had arrived by then, None before the first."""
    row = bisect_right(messages, now_ns, key=lambda pair: pair[0])
    return messages[row - 1][1] if row else None


def _write(image: Image, text: str, color: tuple[int, int, int], left: int = 6) -> None:
    """Write text into the top strip of an image, in place."""
    place = (left, STRIP - 7)
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)

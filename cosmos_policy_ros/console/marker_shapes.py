# SPDX-License-Identifier: Apache-2.0
"""The markers of the visualizer as shapes that any 3D view draws, for as long as each lasts.

Markers are visualization_msgs/Marker messages of this package's visualizer: line strips and lists,
balls, and texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Colours = NDArray[np.uint8]


class LivingMarkers:
    """The markers that are drawn now.

    Attributes:
        markers: The markers.
    """

    def __init__(self) -> None:
        """Start without one."""
        self._until_s: dict[tuple[str, int], tuple[Any, float]] = {}
        self.markers: list[Any] = []

    def update(self, markers: Iterable[Any], now_s: float) -> bool:
        """Take further markers, let go of those whose time is over, and return if any changed.

        Args:
            markers: Markers that came; one of the same namespace and number replaces the one
                before, and ``DELETEALL`` all.
            now_s: Time now [s, monotonic].
        """
        before = len(self.markers)
        came = [*markers]
        for marker in came:
            if marker.action == marker.DELETEALL:
                self._until_s.clear()
            else:
                lasts_s = marker.lifetime.sec + marker.lifetime.nanosec * 1e-9
                self._until_s[marker.ns, marker.id] = marker, now_s + lasts_s
        for key in [key for key, (_, until_s) in self._until_s.items() if now_s >= until_s]:
            del self._until_s[key]
        self.markers = [marker for marker, _ in self._until_s.values()]
        return bool(came) or len(self.markers) != before


def find_lines(markers: Sequence[Any]) -> tuple[Points, NDArray[np.uint8]]:
    """Return the (n, 2, 3) ends of all lines [m] and their (n, 2, 3) colours; n may be 0."""
    segments = [np.zeros((0, 2, 3), np.float32)]
    colours = [np.zeros((0, 2, 3), np.uint8)]
    for marker in markers:
        places = _places(marker.points)
        if marker.type == marker.LINE_STRIP:
            pairs = np.stack([places[:-1], places[1:]], axis=1)
        elif marker.type == marker.LINE_LIST:
            pairs = places[: len(places) // 2 * 2].reshape(-1, 2, 3)
        else:
            continue
        segments.append(pairs)
        colours.append(np.broadcast_to(_colour(marker), pairs.shape))
    return np.concatenate(segments), np.concatenate(colours)


def find_balls(markers: Sequence[Any]) -> tuple[Points, Colours]:
    """Return the (n, 3) middles of all balls [m] and their (n, 3) colours; n may be 0."""
    middles, colours = [np.zeros((0, 3), np.float32)], [np.zeros((0, 3), np.uint8)]
    for marker in markers:
        if marker.type in (marker.SPHERE, marker.SPHERE_LIST):
            is_list = marker.type == marker.SPHERE_LIST
            places = _places(marker.points if is_list else [marker.pose.position])
            middles.append(places)
            colours.append(np.broadcast_to(_colour(marker), places.shape))
    return np.concatenate(middles), np.concatenate(colours)


def find_texts(markers: Sequence[Any]) -> dict[str, tuple[str, Points]]:
    """Return name -> text and its (3,) place [m]."""
    return {
        f'{marker.ns}_{marker.id}': (marker.text, _places([marker.pose.position])[0])
        for marker in markers
        if marker.type == marker.TEXT_VIEW_FACING
    }


def _places(points: Iterable[Any]) -> Points:
    """Return the (n, 3) coordinates of geometry_msgs/Point messages."""
    return np.array([(p.x, p.y, p.z) for p in points], np.float32).reshape(-1, 3)


def _colour(marker: Any) -> Colours:
    """Return the (3,) colour of a marker, darker where it is not opaque: views are dark."""
    c = marker.color
    return np.asarray(np.array([c.r, c.g, c.b]) * c.a * 255, np.uint8)

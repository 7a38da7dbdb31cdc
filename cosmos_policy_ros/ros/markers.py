# SPDX-License-Identifier: Apache-2.0
"""What people see in RViz and Foxglove, as standard markers.

Every marker goes by itself after a while, so that nothing stays that is no longer true: ways and
committed rows after ``PLAN_S``, what is drawn again and again after ``NOW_S``. All places are in
metres in one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

PLAN_S, NOW_S = 3.0, 0.6  # [s] a marker stays that nobody draws again
CHOSEN_M, OTHER_M, COMMITTED_M = 0.008, 0.003, 0.012  # widths of paths and of dots
LIMIT_M, TEXT_M, LABEL_M = 0.07, 0.045, 0.03  # size of a ball, heights of letters
ABOVE = np.array([0.0, 0.0, 0.2])  # [m] of a text over what it is about, which would hide it
SPACE = 0.4  # width of a space, of the height of letters


class Colour(NamedTuple):
    """Red, green, blue and opacity, 0 to 1 each."""

    r: float
    g: float
    b: float
    a: float = 1.0


WHITE, GREY = Colour(1.0, 1.0, 1.0), Colour(0.6, 0.6, 0.6)
GREEN, AMBER, RED = Colour(0.3, 0.85, 0.45), Colour(1.0, 0.75, 0.1), Colour(1.0, 0.25, 0.2)
# Of a value from 0 to 1, told apart by brightness too: blue, teal, yellow.
VALUE_STOPS = np.array([[0.30, 0.25, 0.75], [0.10, 0.65, 0.65], [1.00, 0.90, 0.20]])


class Path(NamedTuple):
    """The way of one tool through the rows of a candidate.

    Attributes:
        places: (H, 3) [m].
        value: Of the candidate, 0 to 1; NaN where nobody judged it.
        chosen: Whether it is the one that is played.
    """

    places: NDArray[np.float64]
    value: float
    chosen: bool


def value_colour(value: float, opacity: float = 1.0) -> Colour:
    """Return the colour of a value; one outside of 0 to 1 has that of the end, NaN is grey."""
    if np.isnan(value):
        return GREY._replace(a=opacity)
    stops = np.linspace(0.0, 1.0, len(VALUE_STOPS))
    return Colour(*(float(np.interp(value, stops, c)) for c in VALUE_STOPS.T), opacity)


def draw_paths(paths: Sequence[Path]) -> list[Marker]:
    """Return the ways of the tools, coloured by value, that of the chosen candidate bold."""
    drawn = []
    for i, path in enumerate(paths):
        name, width = ('chosen', CHOSEN_M) if path.chosen else ('candidates', OTHER_M)
        colour = value_colour(path.value, 1.0 if path.chosen else 0.5)
        marker = _marker(name, i, Marker.LINE_STRIP, colour, width, lasts_s=PLAN_S)
        marker.points = _points(path.places)
        drawn.append(marker)
    return drawn


def draw_committed(places: NDArray[np.float64]) -> list[Marker]:
    """Return dots at the (D, 3) places of the committed rows, nothing where there are none."""
    if not len(places):
        return []
    size = [COMMITTED_M] * 3
    marker = _marker('committed', 0, Marker.SPHERE_LIST, WHITE, *size, lasts_s=PLAN_S)
    marker.points = _points(places)
    return [marker]


def draw_limits(places: Sequence[NDArray[np.float64]]) -> list[Marker]:
    """Return a ball at each (3,) place of a joint that is at its limit."""
    balls = []
    for i, place in enumerate(places):
        ball = _marker('limits', i, Marker.SPHERE, RED._replace(a=0.6), *[LIMIT_M] * 3)
        ball.pose.position = _point(place)
        balls.append(ball)
    return balls


def draw_clearance(ends: Sequence[Sequence[float]], text: str, is_short: bool) -> list[Marker]:
    """Return the line between the two nearest shapes with a text at it; nothing without ends.

    Args:
        ends: Their nearest points, x y z each [m], or none.
        text: What they are, and how near.
        is_short: Whether they are nearer than they may be.
    """
    if not ends:
        return []
    colour = RED if is_short else AMBER
    line = _marker('clearance', 0, Marker.LINE_LIST, colour, CHOSEN_M)
    line.points = _points(np.array(ends))
    place = np.mean(ends, axis=0) + ABOVE
    return [line, draw_text('clearance', 1, text, place, colour, LABEL_M)]


def draw_text(
    name: str,
    number: int,
    text: str,
    place: NDArray[np.float64],
    colour: Colour = WHITE,
    height_m: float = TEXT_M,
) -> Marker:
    """Return a text that faces who looks at it.

    Args:
        name: Namespace of the marker.
        number: Which one of that.
        text: The text, perhaps of several lines.
        place: (3,) its middle [m].
        colour: Of the letters.
        height_m: Of the letters [m].
    """
    # RViz takes x for the width of a space, and without one that of letters of 1 m.
    scale = (SPACE * height_m, 0.0, height_m)
    marker = _marker(name, number, Marker.TEXT_VIEW_FACING, colour, *scale)
    marker.pose.position, marker.text = _point(place), text
    return marker


def marker_array(markers: Sequence[Marker], frame: str, anew: bool) -> MarkerArray:
    """Return markers as one message.

    Args:
        markers: The markers.
        frame: Frame of their places. Without a stamp, they are drawn where that frame is now.
        anew: Whether they take the place of all that was drawn before.
    """
    whole = [Marker(action=Marker.DELETEALL), *markers] if anew else markers
    for marker in whole:
        marker.header.frame_id = frame
    return MarkerArray(markers=whole)


def _marker(
    name: str, number: int, kind: int, colour: Colour, *scale: float, lasts_s: float = NOW_S
) -> Marker:
    marker = Marker(ns=name, id=number, type=kind, action=Marker.ADD)
    seconds = int(lasts_s)
    marker.lifetime = Duration(sec=seconds, nanosec=round((lasts_s - seconds) * 1e9))
    marker.color = ColorRGBA(**colour._asdict())
    marker.scale.x, marker.scale.y, marker.scale.z = (*scale, 0.0, 0.0)[:3]
    marker.pose.orientation.w = 1.0
    return marker


def _points(places: NDArray[np.floating]) -> list[Point]:
    """Return points at (n, 3) places; from Python's own numbers, which are read much faster."""
    return [Point(x=x, y=y, z=z) for x, y, z in places.astype(np.float64).tolist()]


def _point(place: NDArray[np.floating] | Sequence[float]) -> Point:
    x, y, z = (float(value) for value in place)
    return Point(x=x, y=y, z=z)

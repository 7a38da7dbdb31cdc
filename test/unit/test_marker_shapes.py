# SPDX-License-Identifier: Apache-2.0
"""What the console draws of the visualizer's markers, and how long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cosmos_policy_ros.console.marker_shapes import (
    find_balls,
    find_lines,
    find_texts,
    LivingMarkers,
)

KINDS = {'LINE_STRIP': 4, 'LINE_LIST': 5, 'SPHERE': 2, 'SPHERE_LIST': 7, 'TEXT_VIEW_FACING': 9}


def marker(kind: str, number: int = 0, *points: tuple[float, float, float], **more: Any) -> Any:
    """Return a red marker that lasts half a second, as visualization_msgs has it."""
    places = [SimpleNamespace(x=x, y=y, z=z) for x, y, z in points]
    fields = {
        'ns': 'test', 'id': number, 'type': KINDS[kind], 'action': 0, 'DELETEALL': 3,
        'points': places, 'color': SimpleNamespace(r=1.0, g=0.0, b=0.0, a=0.5),
        'lifetime': SimpleNamespace(sec=0, nanosec=500_000_000), 'text': '',
        'pose': SimpleNamespace(position=SimpleNamespace(x=1.0, y=2.0, z=3.0)),
    }  # fmt: skip
    return SimpleNamespace(**KINDS, **(fields | more))


def test_a_strip_is_a_chain_of_lines_and_a_list_is_pairs() -> None:
    """Half-transparent red is dark red."""
    places = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (2.0, 0.0, 0.0))
    points, colours = find_lines([marker('LINE_STRIP', 0, *places)])
    assert points[:, :, 0].tolist() == [[0.0, 1.0], [1.0, 2.0]]
    assert colours[0, 0].tolist() == [127, 0, 0]
    points, _ = find_lines([marker('LINE_LIST', 0, *places)])
    assert points[:, :, 0].tolist() == [[0.0, 1.0]]


def test_a_strip_of_one_place_is_no_line() -> None:
    """Nor is a ball."""
    points, colours = find_lines([marker('LINE_STRIP', 0, (0.0, 0.0, 0.0)), marker('SPHERE')])
    assert (len(points), len(colours)) == (0, 0)


def test_balls_are_where_they_are_said_to_be() -> None:
    """One by its pose, several by their points."""
    middles, _ = find_balls([marker('SPHERE'), marker('SPHERE_LIST', 1, (4.0, 5.0, 6.0))])
    assert middles.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def test_texts_have_a_name_and_a_place() -> None:
    """By which they are found again."""
    [(name, (text, place))] = find_texts([marker('TEXT_VIEW_FACING', 7, text='hold')]).items()
    assert (name, text, place.tolist()) == ('test_7', 'hold', [1.0, 2.0, 3.0])


def test_a_marker_goes_when_its_time_is_over() -> None:
    """Nothing stays that is no longer true."""
    living = LivingMarkers()
    assert living.update([marker('SPHERE')], 10.0)
    assert not living.update([], 10.4)
    assert len(living.markers) == 1
    assert living.update([], 10.6)
    assert living.markers == []


def test_a_marker_replaces_that_of_its_number_and_delete_all_every_one() -> None:
    """As in RViz."""
    living = LivingMarkers()
    living.update([marker('SPHERE', 1), marker('SPHERE', 2)], 10.0)
    living.update([marker('SPHERE', 1, text='new')], 10.1)
    assert sorted((m.id, m.text) for m in living.markers) == [(1, 'new'), (2, '')]
    living.update([marker('SPHERE', action=3), marker('SPHERE', 3)], 10.2)
    assert [m.id for m in living.markers] == [3]

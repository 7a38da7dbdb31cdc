# SPDX-License-Identifier: Apache-2.0
"""``config/foxglove.json`` shows topics and figures that there are.

Source: the panels and keys of ``foxglove.layouts`` in foxglove-sdk 0.30.3, which wrote the file.
"""

from __future__ import annotations

from collections.abc import Iterator
import json
import re
import subprocess
from typing import Any

from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.status import ImaginationStatus, PolicyStatus, to_values
from cosmos_policy_ros.topics import TOPICS
from document_commands import blocks, ROOT

LAYOUT = json.loads(share_path('config', 'foxglove.json').read_text(encoding='utf-8'))
NAMES = {topic.name for topic in TOPICS}
ROBOT = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))


def panels(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels of a part of the layout."""
    if part['type'] == 'panel':
        yield part
    for item in part.get('items', ()):
        yield from panels(item['content'])


def texts(value: Any) -> Iterator[str]:
    """Yield all keys and texts of a configuration."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def test_panels_are_those_of_the_app() -> None:
    """Arms and ways, cameras, status, health, values, imagination."""
    assert LAYOUT['version'] == 1
    found = [panel['panelType'] for panel in panels(LAYOUT['content'])]
    assert found == ['ThreeDee', 'Image', 'RawMessages', 'DiagnosticsSummary', 'Plot', 'Plot']


def topics(layout: dict[str, Any]) -> set[str]:
    """Return the names of the topics that a layout shows."""
    return {t.split('.')[0] for t in texts(layout['content']) if re.match(r'/[a-z]', t)}


def test_every_topic_is_in_the_table() -> None:
    """A panel with a name that nobody publishes stays empty without a word."""
    named = topics(LAYOUT)
    assert named == {
        '/robot_description', '/joint_states', '/policy/markers', '/policy/images',
        '/policy/status', '/policy/imagination', '/diagnostics', '/diagnostics_agg',
    }  # fmt: skip
    assert named <= NAMES


def test_the_documents_put_the_layout_into_a_namespace() -> None:
    """All but the topic that all robots share, for a bridge that keeps the names of the graph."""
    [command] = [b for b in blocks('docs/how-to/see.md', 'bash') if b.startswith('sed ')]
    show = command.partition('>')[0]
    written = subprocess.run(['bash', '-c', show], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    named = topics(json.loads(written.stdout))
    assert named == {'/diagnostics', *(f'/robot1{n}' for n in topics(LAYOUT) - {'/diagnostics'})}


def test_every_plotted_figure_is_in_its_status() -> None:
    """By its key."""
    paths = [p for p in texts(LAYOUT['content']) if '{key==' in p]
    keys: dict[str, set[str]] = {}
    for path in paths:
        topic, key = path.split('.')[0], path.partition('{key=="')[2].partition('"')[0]
        keys.setdefault(topic, set()).add(key)
    assert keys['/policy/status'] == {'value', 'query_ms_p50'}
    assert keys['/policy/status'] <= set(to_values(PolicyStatus('ready')))
    assert keys['/policy/imagination'] == {'joint_rad'} <= set(to_values(ImaginationStatus()))
    excess = {camera.name: 0.0 for camera in ROBOT.cameras}
    figures = ImaginationStatus(image_excess=excess).figures()
    drawn = {f'image_excess_{name}' for name in excess}
    assert keys['/diagnostics_agg'] == drawn <= set(figures)

# SPDX-License-Identifier: Apache-2.0
"""What the policy imagined beside what came, from the predicted images of a recording."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from html import escape

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.control.imagination import compare, Comparison, Expectation, shrink
from cosmos_policy_ros.data.bags.files import read_topics
from cosmos_policy_ros.data.bags.overview import Overview
from cosmos_policy_ros.data.bags.series import Mode
from cosmos_policy_ros.image_decoder import image_of
from cosmos_policy_ros.report.charts import chart, Line, WIDE
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.topics import future_image
import numpy as np

STYLES = ('best', 'seam', 'command', 'measured')  # of the lines, camera by camera


def imagination_charts(overview: Overview) -> str:
    """Return how far cameras were from what was predicted of them; empty without predictions."""
    if overview.robot is None:
        return ''
    found = compare_recording(overview, overview.robot)
    if not found:
        return ''
    start_ns = found[0][0]
    figures = []
    for title, errors in (
        ('Predicted images: mean difference to what came [0..255]', 'image_errors'),
        ('The same, less that of what was shown before [0..255]', 'excess'),
    ):
        lines = []
        for style, camera in zip(STYLES, overview.robot.cameras, strict=False):
            points = [
                ((c.due_ns - start_ns) * 1e-9, values[camera.name])
                for _, c in found
                if camera.name in (values := getattr(c, errors))
            ]
            if points:
                lines.append(Line(camera.name, style, *np.array(points, np.float64).T))
        worst = max(float(line.values.max()) for line in lines)
        note = f'{len(found)} predictions, largest {worst:.1f}'
        figures.append(
            chart(escape(title), lines, overview.seconds, dots=True, note=note, size=WIDE)
        )
    return f'<h3>Imagination beside reality</h3><div class="grid2">{"".join(figures)}</div>'


def compare_recording(overview: Overview, robot: RobotSpec) -> list[tuple[int, Comparison]]:
    """Return the start of the recording [ns] with every comparison of predicted images.

    Those of chunks that were not played until they were due are left out: the world is not to
    blame there. So are joints: what they were predicted to be stands in no message of their own.

    Args:
        overview: The recording.
        robot: Its robot.
    """
    futures = {c.name: future_image(c.name).name for c in robot.cameras}
    if not any(topic in overview.topics for topic in futures.values()):
        return []
    messages = read_topics(overview.path, [c.topic for c in robot.cameras] + [*futures.values()])
    start_ns = min(ns for of_topic in messages.values() for ns, _ in of_topic)
    expected: dict[int, Expectation] = {}
    came: dict[int, dict[str, np.ndarray]] = {}
    for camera in robot.cameras:
        live = [(stamp_of(message), message) for _, message in messages[camera.topic]]
        for arrival_ns, message in messages[futures[camera.name]]:
            due_ns = stamp_of(message)
            row = bisect_left(live, due_ns, key=lambda pair: pair[0])
            before = bisect_left(live, arrival_ns, key=lambda pair: pair[0]) - 1
            if row == len(live) or before < 0:
                continue  # the recording ended before, or begins with it
            if not was_played(
                overview.modes, *((ns - start_ns) * 1e-9 for ns in (arrival_ns, due_ns))
            ):
                continue
            old = expected.get(due_ns, Expectation(due_ns, None, {}, {}))
            name = camera.name
            images = {**old.images, name: shrink(image_of(message))}
            shown = {**old.before, name: shrink(image_of(live[before][1]))}
            expected[due_ns] = Expectation(due_ns, None, images, shown)
            came.setdefault(due_ns, {})[name] = shrink(image_of(live[row][1]))
    return [
        (start_ns, compare(expected[due_ns], None, came[due_ns], robot.arm_joints))
        for due_ns in sorted(expected)
    ]


def was_played(modes: Sequence[Mode], begin_s: float, end_s: float) -> bool:
    """Return whether the executor played all the time; true where nobody tells.

    Args:
        modes: What it did, change by change.
        begin_s: From when on [s, since the start].
        end_s: Until when [s]; before ``begin_s`` for a prediction that came too late.
    """
    before = [mode for mode in modes if mode.at_s <= begin_s][-1:]
    during = [mode for mode in modes if begin_s < mode.at_s <= end_s]
    return begin_s < end_s and all(mode.name == 'playing' for mode in [*before, *during])
